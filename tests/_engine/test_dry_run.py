"""The few rows of a dry run."""

import pytest
import torch

from studygroup._engine.dry_run import few


def table(*rows: str) -> torch.Tensor:
    return torch.tensor([[seen == "x" for seen in row] for row in rows])


@pytest.mark.parametrize(
    ("sees", "rows", "places", "seen"),
    [
        (table("xxxx", "xxxx"), 3, [0, 1, 2], table("xxx", "xxx")),
        (table("xx", "xx"), 3, [0, 1, 0], table("xxx", "xxx")),  # there are fewer: some stand for several
        (table("x-x--", "-x-x-"), 2, [0, 1, 2, 3], table("x-x-", "-x-x")),
        (table("--x--", "-x---"), 2, [1, 2, 1, 2], table("x-x-", "-x-x")),
        (table("xx--x", "-xxx-", "x----"), 2, [0, 1, 2], table("xx-", "-xx", "x--")),
        (table("xx--x", "-xxx-", "x----"), 1, [0, 1], table("xx", "-x", "x-")),
    ],
)
def test_few_rows_are_seen_in_the_manner_of_the_batch(sees, rows, places, seen):
    chosen, those = few(sees, rows)
    assert chosen == places
    assert torch.equal(those, seen)
