"""What each module gets of a layer's arguments, and what is known of their lengths."""

from typing import NamedTuple

import pytest
import torch

from studygroup._engine.arguments import Arguments, like
from studygroup._engine.routed import ForwardState
from studygroup._engine.rows import BatchLayout

ALL = torch.ones(2, 3, dtype=torch.bool)
PARTED = torch.tensor([[True, True, False], [True, False, True]])


def state_of(sees: torch.Tensor = ALL, **options) -> ForwardState:
    return ForwardState(BatchLayout(sees), rescale_gradients=options.pop("rescale", False), **options)


def handed(value, state: ForwardState, arguments: Arguments | None = None, modules: int = 2):
    """What each module gets where the students part."""
    split = state.layout.split(state.rows, (0, 1), modules)
    return (arguments or Arguments("layer")).hand_out(value, split, state)[0]


def test_rows_are_handed_out_and_everything_else_as_it_is():
    x, table = torch.arange(3.0), torch.arange(5.0)
    parts = handed({"x": x, "more": [x + 1, (table, "word")]}, state_of(PARTED))
    for part, rows in zip(parts, ([0, 1], [0, 2]), strict=True):
        assert part["x"].tolist() == rows
        assert part["more"][0].tolist() == [row + 1 for row in rows]
        assert part["more"][1][0] is table
        assert part["more"][1][1] == "word"


def test_a_list_of_rows_is_handed_out_by_its_items():
    names = ["a", "b", "c"]
    assert handed(names, state_of(PARTED, entering=(names,))) == [["a", "b"], ["a", "c"]]
    assert handed(tuple(names), state_of(PARTED)) == [("a", "b", "c")] * 2


def test_what_enters_whole_or_has_no_axis_stays_whole():
    x, number = torch.arange(3.0), torch.tensor(2.0)
    for part in handed([x, number], state_of(whole=(x,))):
        assert part[0] is x
        assert part[1] is number


def test_gradients_are_divided_by_the_branches_of_each_row():
    """Row 0 goes to both modules, rows 1 and 2 to one; where nobody parts nothing is divided."""
    x = torch.ones(3, 2, requires_grad=True)
    for rescale, expected in ((False, [2, 1, 1]), (True, [1, 1, 1])):
        (gradient,) = torch.autograd.grad(
            sum(part.sum() for part in handed(x, state_of(PARTED, rescale=rescale))), x
        )
        assert gradient[:, 0].tolist() == expected
    state = state_of(PARTED, rescale=True)
    split = state.layout.split(state.rows, (0, 0), 1)
    ((part,), _) = Arguments("layer").hand_out(x, split, state)
    assert part is x


@pytest.mark.parametrize(
    ("sees", "choice", "modules", "copied"),
    [
        (ALL, (0, 1), 2, True),
        (ALL, (0, 0), 1, False),  # the only module there is may work in place as in the network alone
        (ALL, (0, 0), 2, True),
        (ALL, (0, 1), 3, True),
    ],
)
def test_in_a_dry_run_modules_get_copies_that_they_may_change(sees, choice, modules, copied):
    x = torch.randn(3, 2)
    for trial in (False, True):
        state = state_of(sees, trial=trial)
        split = state.layout.split(state.rows, choice, modules)
        parts, _ = Arguments("layer").hand_out(x, split, state)
        assert all((part.data_ptr() != x.data_ptr()) == (trial and copied) for part in parts)


def test_without_versions_each_of_several_modules_gets_a_copy():
    with torch.inference_mode():
        x = torch.randn(3, 2)
        assert all(part.data_ptr() != x.data_ptr() for part in handed(x, state_of()))
        state = state_of()
        split = state.layout.split(state.rows, (0, 0), 1)
        assert Arguments("layer").hand_out(x, split, state)[0][0] is x


def noted(**seen) -> Arguments:
    """Arguments of a layer of which dry runs have shown lengths, by kind."""
    arguments = Arguments("layer")
    for kind, lengths in seen.items():
        for length in lengths:
            arguments.note("", (length, 2), kind)
    return arguments


@pytest.mark.parametrize(
    ("seen", "length", "kind"),
    [
        ({}, 3, "rows"),
        ({}, 7, "whole"),
        ({"whole": [7]}, 7, "whole"),
        ({"whole": [7]}, 9, "whole"),
        ({"whole": [3]}, 3, "whole"),  # as long as the rows by chance
        ({"whole": [7]}, 3, "refused"),
        ({"whole": [7]}, 1, "whole"),
        ({"rows": [2]}, 3, "rows"),
        ({"rows": [2]}, 7, "refused"),
        ({"rows": [2]}, 2, "whole"),
        ({"rows": [2]}, 1, "whole"),
        ({"entered": [2]}, 7, "refused"),
        ({"entered": [2]}, 3, "rows"),
        ({"whole": [7], "rows": [2]}, 3, "rows"),
        ({"whole": [7], "rows": [2]}, 9, "whole"),
    ],
)
def test_a_length_is_compared_with_what_dry_runs_have_shown(seen, length, kind):
    value = torch.randn(length, 2)
    if kind == "refused":
        with pytest.raises(ValueError, match=rf"^layer 'layer' was given a tensor of shape \({length}, 2\)"):
            handed(value, state_of(PARTED), noted(**seen))
        return
    parts = handed(value, state_of(PARTED), noted(**seen))
    assert all((part is value) == (kind == "whole") for part in parts)


def test_one_row_is_whole_where_a_table_was():
    """Of one row in flight a table of one line, which is stretched over any number of rows, cannot be told."""
    one = state_of(torch.ones(2, 1, dtype=torch.bool))
    value = torch.randn(1, 2)
    assert all(part is value for part in handed(value, one, noted(whole=[7])))


@pytest.mark.parametrize(
    ("seen", "whole"),
    [({}, False), ({"whole": [3]}, True), ({"rows": [3]}, False), ({"whole": [7], "rows": [2]}, False)],
)
def test_compiled_code_goes_by_what_has_carried_rows(monkeypatch, seen, whole):
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    value = torch.randn(3, 2)
    assert all((part is value) == whole for part in handed(value, state_of(PARTED), noted(**seen)))


def test_the_leading_tensor_is_the_first_with_the_rows_in_flight():
    state, arguments = state_of(), Arguments("layer")
    table, x, late = torch.randn(7, 2), torch.randn(3, 2), torch.randn(3, 5)
    assert arguments.leading(([table], {"x": x, "late": late}), state) is x
    shared = torch.randn(3, 2)
    assert arguments.leading((shared, x), state_of(whole=(shared,))) is x
    with pytest.raises(
        ValueError,
        match=r"^layer 'layer' was given an input of shape \(7, 2\) while 3 rows are in flight; rows must lie",
    ):
        arguments.leading(table, state)
    with pytest.raises(ValueError, match=r"^layer 'layer' was given an input of shape None while 3 rows"):
        arguments.leading("word", state)


def test_rows_as_they_entered_lead_where_a_dry_run_has_allowed_it():
    state = state_of()
    state.rows = state.layout.split(state.rows, (0, 1), 2).rows
    x, arguments = torch.randn(3, 2), Arguments("layer")
    with pytest.raises(
        ValueError, match=r"shape \(3, 2\), as many rows as entered, while 6 rows are in flight"
    ):
        arguments.leading(x, state)
    state.trial = True
    assert arguments.leading(x, state) is x
    assert state.entered_alone == [arguments]
    state.trial = False
    arguments.allow_entered()
    assert arguments.leading(x, state) is x
    state.entering = (x,)
    assert Arguments("layer").leading(x, state) is x


class Pair(NamedTuple):
    a: int
    b: int


class Named(dict):
    """A mapping that is made of keywords, as outputs of transformers are."""


def test_containers_are_built_as_their_example():
    assert like(Pair(0, 0), [1, 2]) == Pair(1, 2)
    assert like([0], [1, 2]) == [1, 2]
    assert like((0,), [1, 2]) == (1, 2)
    assert like({}, {"a": 1}) == {"a": 1}
    assert type(like({}, {"a": 1})) is dict
    assert type(like(Named(), {"a": 1})) is Named
