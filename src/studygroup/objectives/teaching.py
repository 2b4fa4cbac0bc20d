"""Teachers and what they learn from: combinations with which nothing would be learnt are refused before training."""

from collections.abc import Sequence

from studygroup.group import Group
from studygroup.objectives.base import Objective
from studygroup.objectives.supervised import Ensemble
from studygroup.teachers import Teacher


def learns_from_labels(objective: Objective) -> bool:
    """Tell whether an ensemble learns with its students, each of whom has another weight in it."""
    learns = any(p.requires_grad for teacher in objective.teachers for p in teacher.parameters())
    return learns and isinstance(objective, Ensemble)


def check_teacher(teacher: Teacher, group: Group, objectives: Sequence[Objective]) -> None:
    """Refuse a teacher that names the students themselves, and one with parameters that has nothing to learn from."""
    if teacher.of is group:
        raise ValueError(
            f"{type(teacher).__name__}(of=...) names the students themselves, who would answer twice; leave of out"
        )
    moved = any(one.moves_teachers for one in objectives if teacher in one.teachers)
    if any(parameter.requires_grad for parameter in teacher.parameters()) and not moved:
        raise ValueError(
            f"{type(teacher).__name__} learns, and targets are constants, so that it would stay as it began; pass "
            "moves_teachers=True to the imitation, or train it on the labels with objectives.Ensemble"
        )


def check_turns(teachers: Sequence[Teacher], *, shared: bool) -> None:
    """Refuse `in_turn` where rows are not shared, or where something besides the students learns."""
    if not shared:
        raise ValueError(
            "in_turn=True updates one student after another on the same rows, and rows are sub-sets; use SharedRows"
        )
    learning = [one for one in teachers if any(parameter.requires_grad for parameter in one.parameters())]
    if learning:
        raise ValueError(
            f"{type(learning[0]).__name__} learns, and in_turn=True updates one student after another, each against "
            "constant peers; leave in_turn out, so that all learn in one step"
        )


def check_names_differ(names: Sequence[str]) -> None:
    """Refuse two objectives of one name."""
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(
            f"two objectives are called {twice[0]!r}; give each a name of its own, so that their values can be "
            "told apart"
        )
