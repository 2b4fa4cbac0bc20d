"""A batch as it is read: paths, what carries rows, and what each refusal says."""

from typing import NamedTuple

import numpy as np
import pytest
import torch

from studygroup._engine.row_inputs import RowInputs
from studygroup._engine.rows import BatchLayout

X, TABLE, LATE = torch.arange(6.0).view(3, 2), torch.randn(4, 2), torch.arange(3)


class Pair(NamedTuple):
    ids: torch.Tensor
    scale: torch.Tensor


NEST = {"x": X, "more": {"pair": Pair(LATE, TABLE), "word": "w"}, "several": [TABLE, X]}


def test_parts_are_named_by_their_paths_and_told_by_their_length():
    batch = RowInputs().read(NEST)
    assert batch.rows == 3
    assert batch.carries == {
        "x": True, "more.pair.0": True, "more.pair.1": False, "several.0": False, "several.1": True
    }  # fmt: skip
    assert [id(part) for part in batch.parts(carrying=True)] == [id(X), id(LATE), id(X)]
    assert [id(part) for part in batch.parts(carrying=False)] == [id(TABLE), id(TABLE)]
    assert batch.sizes == ((2,), (), (4, 2), (4, 2), (2,))
    assert ("x", True, torch.float32, 2) in batch.structure
    assert ("more.word", str) in batch.structure
    assert ("more.pair", Pair) in batch.structure
    alone = RowInputs().read(X)
    assert alone.carries == {"": True}
    assert alone.sizes == ((2,),)


def test_rows_are_taken_wherever_they_are_and_all_else_is_as_it_was():
    taken = RowInputs().read(NEST).index([2, 0, 2])
    assert taken.rows == 3
    made = taken.inputs
    assert made["x"].tolist() == [[4, 5], [0, 1], [4, 5]]
    assert type(made["more"]["pair"]) is Pair
    assert made["more"]["pair"].ids.tolist() == [2, 0, 2]
    assert made["more"]["pair"].scale is TABLE
    assert made["more"]["word"] == "w"
    assert made["several"][0] is TABLE
    assert RowInputs().read(X).index([1]).inputs.tolist() == [[2, 3]]
    assert RowInputs().read(X).index([1]).rows == 1


def test_what_enters_is_told_apart_by_what_it_carries():
    names = ("a", "b", "c")
    batch = RowInputs(rows=("names",)).read({"x": X, "names": names, "table": TABLE})
    sees = torch.tensor([[False, False, True], [True, False, True]])
    inputs, entering, whole = batch.enter(BatchLayout(sees))
    order = BatchLayout(sees).entry.sample.tolist()
    assert order == [2, 0]
    assert inputs["x"].tolist() == X[order].tolist()
    assert inputs["names"] == ("c", "a")
    assert inputs["table"] is TABLE
    assert [id(one) for one in entering] == [id(inputs["x"]), id(inputs["names"])]
    assert [id(one) for one in whole] == [id(TABLE)]


@pytest.mark.parametrize(
    ("declared", "inputs", "rows"),
    [
        (RowInputs(), {"x": X, "table": TABLE}, 3),
        (RowInputs(), {"table": TABLE, "x": X}, 4),
        (RowInputs(rows=["x"]), {"table": TABLE, "x": X}, 3),
        (RowInputs(rows=["names"]), {"table": TABLE, "names": ["a", "b"]}, 2),
        (RowInputs(shared=["table"]), {"table": TABLE, "x": X}, 3),
        (RowInputs(rows=["deep"]), {"table": TABLE, "deep": {"x": X}}, 3),
        (RowInputs(rows=["deep.x"]), {"table": TABLE, "deep": {"ids": TABLE, "x": X}}, 3),
    ],
)
def test_rows_are_counted_by_what_is_declared_and_else_by_the_first(declared, inputs, rows):
    assert declared.count(inputs) == rows


def remembered(inputs, **options) -> RowInputs:
    made = RowInputs(**options)
    made.remember(made.read(inputs))
    return made


def test_a_length_by_chance_is_told_by_the_batch_before():
    told = remembered({"x": X, "table": TABLE})
    five = torch.randn(5, 2)
    assert told.read({"x": five, "table": TABLE}).carries == {"x": True, "table": False}
    way_out = (
        r"; declare it with rows=\('table',\) or shared=\('table',\), on the group or with task\.with_inputs"
        r"\(\.\.\.\), so that it is told from others by its name$"
    )
    with pytest.raises(
        ValueError,
        match=r"^input 'table' has 4 entries in a batch of 4 rows, and had another number of entries than the batch "
        rf"earlier{way_out}",
    ):
        told.read({"x": torch.randn(4, 2), "table": TABLE})
    carried = remembered({"x": X, "table": X})
    with pytest.raises(
        ValueError,
        match=rf"^input 'table' has 2 entries in a batch of 5 rows, and carried rows earlier{way_out}",
    ):
        carried.read({"x": five, "table": torch.randn(2, 2)})
    with pytest.raises(
        ValueError, match=r"^input 'table' has no entries in a batch of 5 rows, and carried rows"
    ):
        carried.read({"x": five, "table": torch.tensor(1.0)})


def test_one_row_tells_nothing_and_is_what_was_told():
    one, entry = torch.randn(1, 2), torch.randn(1, 2)
    told = remembered({"x": X, "table": TABLE})
    assert told.read({"x": one, "table": entry}).carries == {"x": True, "table": False}
    fresh = remembered({"x": one, "table": entry})
    assert fresh.read({"x": X, "table": TABLE}).carries == {"x": True, "table": False}
    whole = remembered(X)
    assert whole.read(TABLE).carries == {"": True}  # the only input has the rows, however many


@pytest.mark.parametrize(
    ("options", "inputs", "said"),
    [
        (
            {"rows": ["x", "table"]},
            {"x": X, "table": TABLE},
            r"input 'table' is declared to carry rows and has shape \(4, 2\) in a batch of 3 rows; hand in one "
            r"entry a row, or leave it out of rows=\.\.\.",
        ),
        (
            {"rows": ["x", "names"]},
            {"x": X, "names": ["a", "b"]},
            "input 'names' is declared to carry rows and has 2 entries in a batch of 3 rows; hand in one entry a row",
        ),
        (
            {},
            {"x": X, "names": ["a", "b", "c"]},
            "input 'names' is a list of 3 entries in a batch of 3 rows, which may be rows or not; declare it with",
        ),
        (
            {},
            {"x": X, "sparse": X.to_sparse()},
            "input 'sparse' is a sparse tensor, whose rows cannot be taken apart",
        ),
        (
            {},
            {"x": X, "nested": torch.nested.as_nested_tensor([X, X], layout=torch.jagged)},
            r"input 'nested' is a nested tensor, whose rows cannot be taken apart; hand in a padded or dense "
            r"tensor, or declare shared=\('nested',\) if it has no rows",
        ),
        (
            {},
            {"x": X, "array": np.zeros((3, 2))},
            r"input 'array' is a ndarray, whose rows cannot be taken apart; hand in a tensor, or declare "
            r"shared=\('array',\) if it has no rows",
        ),
        (
            {"rows": ["x", "word"]},
            {"x": X, "word": "w"},
            "input 'word' is a str, whose rows cannot be taken apart",
        ),
        ({"rows": ["z"]}, {"x": X}, "rows names 'z', and the inputs have 'x'; use one of these names"),
        (
            {"shared": ["tables"]},
            {"x": X, "table": TABLE},
            r"shared names 'tables' \(near: 'table'\), and the inputs",
        ),
    ],
)
def test_what_cannot_be_told_or_taken_apart_is_refused_by_name(options, inputs, said):
    with pytest.raises(ValueError, match=f"^{said}"):
        RowInputs(**options).read(inputs)


def test_what_has_no_rows_by_its_length_or_by_declaration_passes():
    other = TABLE.to_sparse()
    array = np.zeros((3, 2))
    for options, inputs in (
        ({}, {"x": X, "sparse": other, "array": np.zeros((4, 2)), "names": ["a", "b"], "kind": torch.Tensor}),
        (
            {"shared": ["sparse", "array", "names"]},
            {"x": X, "sparse": X.to_sparse(), "array": array, "names": [1, 2, 3]},
        ),
        ({"rows": ["x", "absent"]}, {"x": X, "absent": None}),
        ({}, {"x": X, "pair": Pair(LATE, LATE), "three": [X, TABLE, 1]}),
    ):
        batch = RowInputs(**options).read(inputs)
        assert batch.carries["x"]
        assert not batch.carries.get("sparse", False)


def test_names_are_declared_once_and_as_several():
    with pytest.raises(
        ValueError, match="input 'x' is declared under rows and under shared; name it under one"
    ):
        RowInputs(rows=["x"], shared=["x"])
    for option in ("rows", "shared"):
        with pytest.raises(ValueError, match=f"{option}.*'word'"):
            RowInputs(**{option: "word"})


def test_names_are_compared_until_a_batch_has_passed():
    told = remembered({"x": X, "table": TABLE}, shared=["table"])
    assert told.read({"x": X}).carries == {"x": True}  # an input that is left out now and then
