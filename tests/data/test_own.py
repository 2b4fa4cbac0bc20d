"""Data sets of one's own that take `split`: the names that they know are tried."""

import pytest
import torch

from studygroup.data.own import _test_of


@pytest.mark.parametrize("error", [KeyError, AssertionError, FileNotFoundError, ValueError, RuntimeError])
def test_test_rows_are_under_the_first_name_that_is_known(error):
    def rows(split: str, size: int = 3) -> list[torch.Tensor]:
        if split not in ("train", "val"):
            raise error(split)
        return [torch.zeros(size)]

    assert _test_of(rows, {"size": 2}, "data set 'mine'")[0].shape == (2,)


def test_a_set_that_knows_none_says_why():
    def rows(split: str) -> list[torch.Tensor]:
        return {"train": []}[split]

    with pytest.raises(
        ValueError, match=r"takes `split` and none of 'test', .* of the first it says: KeyError: 'test'"
    ):
        _test_of(rows, {}, "data set 'mine'")
