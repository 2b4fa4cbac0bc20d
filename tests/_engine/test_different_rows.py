"""Rows that were equal differ, and stay of their sort."""

import pytest
import torch

from studygroup._engine.different_rows import different
from studygroup._engine.row_inputs import RowInputs

NUMBERS = torch.tensor([[-2.0, 5.0, 0.5]] * 3)
CASES = {
    "numbers": (NUMBERS, -2.0, 5.0),
    "numbers within 0 and 1": (torch.full((3, 4), 0.5), 0.0, 1.0),
    "some endless": (torch.tensor([[float("-inf"), 3.0]] * 3), 0.0, 3.0),
    "token ids": (torch.tensor([[4, 7, 9, 2, 5, 1]] * 3), 1, 9),
    "one token id": (torch.full((3, 12), 6), 5, 6),
    "nothing but padding": (torch.zeros(3, 12, dtype=torch.long), 0, 1),
}


@pytest.mark.parametrize("name", CASES)
def test_equal_rows_are_drawn_anew_within_their_range(name):
    rows, low, high = CASES[name]
    found = different(RowInputs().read(rows))
    assert found is not None
    made = found.inputs
    assert torch.equal(made[0], rows[0])
    assert len(made.unique(dim=0)) == 3
    assert made.dtype == rows.dtype
    assert ((made[1:] >= low) & (made[1:] <= high)).all()
    if name == "token ids":
        assert all(sorted(row) == sorted(rows[0].tolist()) for row in made.tolist())
    assert torch.equal(different(RowInputs().read(rows)).inputs, made)


def test_what_differs_or_cannot_is_left_alone():
    assert different(RowInputs().read(torch.arange(6.0).view(3, 2))) is None
    assert different(RowInputs().read(torch.ones(3, 2, dtype=torch.bool))) is None
    assert different(RowInputs().read(torch.ones(3, dtype=torch.long))) is None


def test_the_first_tensor_of_numbers_is_drawn_anew_and_no_other():
    ids, mask, pictures = torch.ones(3, 4, dtype=torch.long), torch.ones(3, 4), torch.ones(3, 2)
    found = different(RowInputs().read({"ids": ids, "mask": mask, "pictures": pictures})).inputs
    assert found["ids"] is ids
    assert found["pictures"] is pictures
    assert len(found["mask"].unique(dim=0)) == 3
    apart = {"mask": mask, "pictures": torch.arange(6.0).view(3, 2)}
    assert different(RowInputs().read(apart)) is None


@pytest.mark.parametrize("width", range(2, 20))
def test_equal_rows_are_told_by_their_numbers_and_not_by_a_sum_that_rounds(width):
    rows = torch.rand(1, width, generator=torch.Generator().manual_seed(width)).repeat(3, 1)
    nothing = torch.zeros(3, 0)
    found = different(RowInputs().read({"x": rows, "none": nothing}))
    assert found is not None
    assert len(found.inputs["x"].unique(dim=0)) == 3
