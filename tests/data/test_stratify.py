import pytest
import torch

from studygroup.batching import without
from studygroup.data.stratify import stratified

LABELS = torch.tensor([0] * 50 + [1] * 30 + [2] * 20 + [4] * 7)[
    torch.randperm(107, generator=torch.manual_seed(3))
]


def test_classes_keep_their_share():
    rows = stratified(LABELS, 53, seed=0, draw="x")
    # 53/107 of 50, 30, 20, 0, 7 is 24.77, 14.86, 9.91, 0, 3.47: one more for the three largest remainders
    assert LABELS[rows].bincount().tolist() == [25, 15, 10, 0, 3]
    assert rows.unique().tolist() == rows.tolist()


@pytest.mark.parametrize("count", [0, 1, 5, 106, 107])
def test_gives_as_many_as_asked(count):
    assert len(stratified(LABELS, count, seed=1, draw="x")) == count


def test_is_a_function_of_seed_and_draw():
    first = stratified(LABELS, 40, seed=0, draw="x")
    assert torch.equal(first, stratified(LABELS, 40, seed=0, draw="x"))
    assert not torch.equal(first, stratified(LABELS, 40, seed=1, draw="x"))
    assert not torch.equal(first, stratified(LABELS, 40, seed=0, draw="y"))


def test_every_row_is_as_likely():
    labels = torch.tensor([0, 0, 0, 0, 1, 1])
    hits = sum(torch.bincount(stratified(labels, 3, seed=s, draw="x"), minlength=6) for s in range(600))
    assert hits.tolist() == pytest.approx([300] * 6, abs=60)  # 5 standard deviations


@pytest.mark.parametrize("count", [-1, 108])
def test_refuses_other_counts(count):
    with pytest.raises(ValueError, match=f"cannot draw {count} of 107 rows"):
        stratified(LABELS, count, seed=0, draw="x")


def test_without_is_the_rest():
    assert without(6, torch.tensor([4, 1])).tolist() == [0, 2, 3, 5]
