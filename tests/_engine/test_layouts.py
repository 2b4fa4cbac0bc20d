"""Layouts are made once for a table, and compiled passes get one with all that they will ask for."""

import torch

from studygroup._engine.layouts import _MOST, Layouts

CPU = torch.device("cpu")


def owned(*owners: int, students: int = 2) -> torch.Tensor:
    return torch.arange(students)[:, None] == torch.tensor(owners)


def every(rows: int) -> torch.Tensor:
    return torch.ones(2, rows, dtype=torch.bool)


def asked(layouts: Layouts, table: torch.Tensor, sort: str = "train"):
    """An uncompiled pass: one split, and the answers laid out."""
    layout = layouts.of(table, ())
    split = layout.split(layout.entry, (0, 1), 2)
    layout.scatter([(split.rows, torch.zeros(len(split.rows), 1))])
    layouts.passed(sort, layout)
    return layout


def test_a_table_has_one_layout_and_the_oldest_go():
    layouts = Layouts()
    first = layouts.of(owned(0, 1), ())
    assert layouts.of(owned(0, 1), ()) is first
    assert layouts.of(owned(1, 0), ()) is not first
    assert layouts.of(owned(0, 1, 1), ()) is not first
    for rows in range(3, _MOST + 2):
        layouts.of(every(rows), ())
        assert layouts.of(owned(0, 1), ()) is first  # used again, it is the newest
    for rows in range(_MOST):
        layouts.of(every(100 + rows), ())
    assert layouts.of(owned(0, 1), ()) is not first


def test_a_pass_of_a_sort_that_is_not_known_has_none():
    layouts = Layouts()
    assert layouts.prepared("train", every(3), (), CPU) is None
    asked(layouts, every(3))
    assert layouts.prepared("eval", every(3), (), CPU) is None
    assert layouts.prepared("train", owned(0, 1, 1), (), CPU) is None  # in another manner


def test_where_all_see_all_one_layout_for_each_number_of_rows_serves():
    layouts = Layouts()
    known = asked(layouts, every(3))
    assert layouts.prepared("train", every(3), (), CPU) is known
    other = layouts.prepared("train", every(5), (), CPU)
    assert other is not known
    assert layouts.prepared("train", every(5), (), CPU) is other
    assert layouts.together == {3: known, 5: other}
    assert other.device == CPU
    moved = layouts.prepared("train", every(5), (), torch.device("meta"))
    assert moved is not other
    assert moved.device == torch.device("meta")


def test_a_layout_of_owners_has_the_splits_of_the_pass_before():
    layouts = Layouts()
    known = asked(layouts, owned(0, 1, 0))
    assert layouts.prepared("train", owned(0, 1, 0), (), CPU) is known
    made = layouts.prepared("train", owned(1, 1, 0), (), CPU)
    assert made.sees.equal(owned(1, 1, 0))
    assert made._splits.keys() == known._splits.keys()
    assert made._scatters.keys() == known._scatters.keys()
    assert layouts.together == {}
