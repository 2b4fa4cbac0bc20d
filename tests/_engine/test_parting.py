"""What is said where a group and its students part: the fact, where, and the way out."""

import torch

from studygroup._engine.arguments import Arguments
from studygroup._engine.parting import PartingError, parted, stopped
from studygroup._engine.routed import ForwardState
from studygroup._engine.rows import BatchLayout


def state() -> ForwardState:
    return ForwardState(BatchLayout(torch.ones(2, 3, dtype=torch.bool)), rescale_gradients=False)


def test_two_answers_that_differ():
    passed = state()
    assert parted(1, "after layer 'a'", passed) == (
        "the group and student 1 alone answer otherwise on the same rows: they part after layer 'a'. What stands "
        "between mixes rows, or takes the number of rows from the input; use the number of rows of the tensor "
        "itself, declare inputs that are (or are not) rows with rows=... and shared=..., or name the enclosing block"
    )
    passed.entered_alone += [Arguments("b"), Arguments("c")]
    assert parted(0, "at the beginning", passed) == (
        "the group and student 0 alone part at the beginning: layer 'b' was given as many rows as entered, although "
        "students have parted since. Take the number of rows from the tensor that the layer before returned, or name "
        "the enclosing block"
    )
    passed.changed += ["d", "e"]
    assert parted(0, "at the beginning", passed) == (
        "layer 'd' changes its input in place, and the network reads that input again: the group and student 0 alone "
        "part at the beginning. Build it with inplace=False, or name the enclosing block"
    )


def test_a_pass_that_the_group_cannot_make():
    passed, way_out = state(), (
        ". Use the number of rows of the tensor itself, declare inputs that are (or are not) rows with rows=... and "
        "shared=..., or name the enclosing block"
    )  # fmt: skip
    error = stopped(passed, RuntimeError("sizes"))
    assert isinstance(error, PartingError)
    assert str(error) == (
        "the group cannot take rows that a student alone can, at the beginning: RuntimeError: sizes. 3 rows are in "
        f"flight, and 3 entered{way_out}"
    )
    passed.reached |= {"a": None, "b": None}
    passed.rows = passed.layout.split(passed.rows, (0, 1), 2).rows
    passed.entered_alone.append(Arguments("b"))
    assert str(stopped(passed, KeyError("x"))) == (
        "the group cannot take rows that a student alone can, after layer 'b': KeyError: 'x'. 6 rows are in flight, "
        f"and 3 entered: layer 'b' was given as many as entered{way_out}"
    )
