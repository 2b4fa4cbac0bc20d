"""Figures of an epoch beside the students' own: parts of the loss by name, and what the rule says of itself."""

import functools

import pytest

from helpers.small_run import small
from studygroup.report import run_report
from studygroup.task import CollaborativeLearning
from studygroup.training import methods, train
from studygroup.training.history import read_history


class Watched:
    """The figures of every step of a run, read at once, to be compared with what the run keeps."""

    def __init__(self, monkeypatch):
        from studygroup.task import CollaborativeLearning

        self.steps, forward = [], CollaborativeLearning.forward

        def watch(task, *args, **options):
            losses = forward(task, *args, **options)
            if task.training:
                figures = task.figures()
                named = {f"objective {name}": value.item() for name, value in losses.auxiliary.items()}
                self.steps.append(
                    named | {f"teacher {name}": value.item() for name, value in figures.items()}
                )
            return losses

        monkeypatch.setattr(CollaborativeLearning, "forward", watch)

    def means(self, epoch: int, updates: int = 8) -> dict[str, float]:
        steps = self.steps[epoch * updates : (epoch + 1) * updates]
        return {name: sum(step[name] for step in steps) / updates for name in steps[0]}


RUNS = {
    "one": (functools.partial(methods.one, students=2), {"objective ensemble"}, "Further losses"),
    "okddip": (functools.partial(methods.okddip, students=3), {"teacher entropy"}, "own figures"),
    "byot": (
        functools.partial(methods.byot, inner=("layer1", "layer2")),
        {"objective inner"},
        "Further losses",
    ),
}


def test_losses_of_a_student_are_means_over_its_rows(tmp_path, monkeypatch):
    seen, forward = [], CollaborativeLearning.forward

    def watch(task, *args, owner=None, **options):
        losses = forward(task, *args, owner=owner, **options)
        if task.training:
            rows = [int((owner == student).sum()) for student in range(2)]
            seen.append((rows, losses.supervised.tolist(), losses.imitation.tolist()))
        return losses

    monkeypatch.setattr(CollaborativeLearning, "forward", watch)
    recipe = functools.partial(methods.cgl, students=2, layers=("layer1.0",), ramp=(0.0, 0.0))
    settings = small(recipe=recipe, train_rows=83, epochs=1)
    row = read_history(train(settings, run_dir=tmp_path / "run", progress_bar=False).folder.metrics)[0]
    assert [rows for rows, *_ in seen] == [[20, 21], [2, 0]]  # one student is absent from the last step
    for student in range(2):
        count = sum(rows[student] for rows, *_ in seen)
        for place, told in ((1, row.supervised), (2, row.imitation)):
            by_rows = sum(step[0][student] * step[place][student] for step in seen) / count
            assert told[student] == pytest.approx(by_rows, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_parts_and_figures_are_kept_as_means_over_the_epoch(name, tmp_path, monkeypatch):
    recipe, columns, title = RUNS[name]
    watched = Watched(monkeypatch)
    result = train(small(recipe=recipe, epochs=2), run_dir=tmp_path / "run", progress_bar=False)
    assert len(watched.steps) == 16
    for epoch, row in enumerate(read_history(result.folder.metrics)):
        found = {f"objective {name}": value for name, value in row.objectives.items()}
        found |= {f"teacher {name}": value for name, value in row.teachers.items()}
        assert set(found) == columns
        assert found == pytest.approx(watched.means(epoch), rel=1e-5)
        assert all(value != 0 for value in found.values())
    assert f"{title}</figcaption>" in run_report(result.folder).read_text()


def test_the_rule_and_the_parts_of_a_plain_method_say_nothing_more(finished):
    first = read_history(finished.folder.metrics)[0]
    assert (first.objectives, first.teachers) == ({}, {})
    assert "Further losses" not in run_report(finished.folder).read_text()
