"""Where two parts of a task meet: what fits together, and what to do where it does not."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from studygroup.functional import Aggregate
from studygroup.inputs import on_host
from studygroup.listen import Listener


class NoOwnerWarning(UserWarning):
    """Students were to have rows of their own, and nothing says which rows are whose."""


def check_names(names: list[str], *, ensemble: bool) -> None:
    """Auxiliary values are told apart by their names; the ensemble's is one of them."""
    names = names + ["ensemble"] * ensemble
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(
            f"two auxiliary objectives are called {twice[0]!r}; give each a name of its own, so that their "
            "values can be told apart"
        )


def check_rule(listen: Listener | None, *, detach: bool, ensemble: bool, aggregate: Aggregate) -> None:
    """A rule must fit how its targets are made, and one that learns must have something to learn from."""
    rule = type(listen).__name__
    if ensemble and not (listen is not None and listen.one_answer):
        raise ValueError(
            f"ensemble_weight is set, and {rule} makes no one answer of the ensemble; use listen.Gate, or "
            "leave the weight at 0"
        )
    if listen is not None and listen.learns and detach and not ensemble:
        raise ValueError(
            f"{rule} learns through the targets, which detach=True makes constants, so that it would stay as "
            "it began; pass detach=False" + (" or an ensemble_weight" if listen.one_answer else "")
        )
    if listen is not None and listen.pairwise and aggregate != "probabilities":
        raise ValueError(
            f"{rule} averages the peers' probabilities, and aggregate is {aggregate!r}; pass "
            "aggregate='probabilities', or listen to MeanOfOthers"
        )


def check_peers(*, gradient: bool, detach: bool, ensemble: bool) -> None:
    """A gradient of the peers' answers must lead somewhere."""
    if gradient and detach and not ensemble:
        raise ValueError(
            "peers_gradient=True asks for a gradient of the peers' answers, and detach=True makes constants of "
            "them; pass detach=False, or leave peers_gradient out"
        )


def check_owners(listen: Listener | None, *, ensemble: bool, gradient: bool) -> None:
    """Where rows have owners, peers answer without gradient unless asked for: nothing is learnt through them."""
    if listen is not None and (listen.learns or ensemble) and not gradient:
        raise ValueError(
            f"{type(listen).__name__} learns through its peers' answers, and with owners peers answer "
            "without gradient; leave owner out, so that every student sees every row, or pass peers_gradient=True"
        )


def check_turns(listen: Listener | None, *, ensemble: bool, shared: bool) -> None:
    """Students who are updated in turn share their rows, and nothing learns beside them."""
    if not shared:
        raise ValueError(
            "in_turn=True updates one student after another on the same rows, and rows are sub-sets; use SharedRows"
        )
    if listen is not None and (listen.learns or ensemble):
        raise ValueError(
            f"{type(listen).__name__} learns, and in_turn=True updates one student after another, each against "
            "constant peers; leave in_turn out, so that all learn in one step"
        )


def owners(
    owner: Int[Tensor, " rows"] | Sequence[int], *, rows: int, students: int
) -> Bool[Tensor, "students rows"]:
    """The table of who is supervised on which row.

    Raises:
        ValueError: not one number a row, or one that is not a student's.
    """
    table = on_host(torch.as_tensor(owner), "owner")
    if table.shape != (rows,) or table.is_floating_point():
        raise ValueError(
            f"owner is {table.dtype} of shape {tuple(table.shape)}; hand in one student number a row ({rows})"
        )
    wrong = table[(table < 0) | (table >= students)]
    if len(wrong):
        raise ValueError(f"owner {int(wrong[0])} is not one of students 0 to {students - 1}")
    return torch.arange(students)[:, None] == table


def check_labels(y: Int[Tensor, " rows"], *, classes: int) -> None:
    """Labels are classes; on a device, where looking would wait for it, the loss has an assertion of its own."""
    if y.device.type != "cpu":
        return
    wrong = y[(y < 0) | (y >= classes)]
    if len(wrong):
        raise ValueError(
            f"label {int(wrong[0])} is not one of 0 to {classes - 1}, the classes that the network answers with; "
            "number labels from 0, and give the network as many classes"
        )
