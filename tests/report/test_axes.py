import dataclasses

import pytest
from markupsafe import Markup

from studygroup.report.axes import EPOCHS, over_each
from studygroup.report.drawing import Plot
from studygroup.training.history import EpochRow

ROW = EpochRow(
    epoch=1, updates=8, seconds=1.5, rows_per_second=9.0, lr=0.1, imitation_weight=0.0, loss=1.0,
    supervised=(1.0,), imitation=(0.0,), holdout=(0.6,), ensemble=0.6, diversity=0.0, disagreement=0.0,
)  # fmt: skip
ROWS = [ROW, dataclasses.replace(ROW, epoch=2, updates=16, seconds=2.0)]


def places(histories):
    """Where the rows of the first history stand, by the name of the axis."""
    found = {}

    def plots(axis):
        found[axis.name] = axis.at(histories[0])
        return [Plot(axis.label, axis.words, Markup())]

    views = over_each(histories, plots)
    assert [view.name for view in views] == [*found]
    return found


def test_rows_stand_at_their_epochs_updates_and_seconds_so_far():
    assert places([ROWS]) == {"epochs": [1, 2], "updates": [8, 16], "seconds": [1.5, 3.5]}


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 0.0, -1.0])
def test_an_axis_that_any_history_did_not_record_is_left_out(seconds):
    other = [ROW, dataclasses.replace(ROW, epoch=2, updates=16, seconds=seconds)]
    assert [*places([ROWS, [], other])] == ["epochs", "updates"]
    assert [*places([[ROW, ROW]])] == ["epochs", "seconds"]


def test_nothing_is_shown_where_nothing_is_plotted():
    assert over_each([[]], lambda axis: []) == []
    assert EPOCHS.at([]) == []
