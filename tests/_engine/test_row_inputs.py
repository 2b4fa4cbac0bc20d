"""Which inputs carry rows: declared by name, else told by length, and never by chance."""

from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from torch import nn

import studygroup as sg

CLASSES = 5
OWNERS = torch.tensor([1, 0, 0, 1, 1, 0, 1])


def sees(rows: int) -> torch.Tensor:
    return torch.arange(2)[:, None] == OWNERS[:rows]


class Table(nn.Module):
    """Compares rows with a table of classes, which comes first."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(6, 8), nn.Linear(8, 4)

    def forward(self, table, x):
        return self.head(self.body(x).relu()) @ table.T


def group(build=Table, layers=("body", "head"), **options) -> sg.StudyGroup:
    torch.manual_seed(0)
    return sg.StudyGroup(build(), sg.routes.branches(layers, students=2), init=build, **options).eval()


def assert_right(made: sg.StudyGroup, inputs, rows: int) -> None:
    """Of owners and of all: the answers of the exports on the whole batch."""
    with torch.no_grad():
        for table in (None, sees(rows)):
            outputs = made(inputs, sees=table)
            for student in range(2):
                own = outputs.sees[student]
                torch.testing.assert_close(outputs.logits[student][own], made.export(student)(**inputs)[own])


TABLE = torch.randn(5, 4)


@pytest.mark.parametrize("options", [{"shared": ["table"]}, {"rows": ["x"], "shared": ["table"]}])
@pytest.mark.parametrize("layers", [("body", "head"), ("",)])
def test_a_table_that_is_declared_is_never_taken_for_rows(options, layers):
    made = group(layers=layers, **options)
    for rows in (6, 5, 2, 5, 7):
        assert_right(made, {"table": TABLE, "x": torch.randn(rows, 6)}, rows)


def test_a_table_as_long_as_a_later_batch_is_an_error():
    made = group()
    made({"x": torch.randn(6, 6), "table": TABLE})
    with pytest.raises(ValueError, match=r"'table' has 5 entries in a batch of 5 rows.*shared=\('table',\)"):
        made({"x": torch.randn(5, 6), "table": TABLE})
    made({"x": torch.randn(7, 6), "table": TABLE})
    made.declare_inputs(shared=["table"])
    assert_right(made, {"x": torch.randn(5, 6), "table": TABLE}, 5)


def test_a_table_as_long_as_the_first_batch_is_an_error_then_or_later():
    x = {"x": torch.randn(5, 6), "table": TABLE}
    with pytest.raises(ValueError, match=r"shared="):
        group()(x, sees=sees(5))
    made = group()
    made(x)
    with pytest.raises(
        ValueError, match=r"'table' has 5 entries in a batch of 6 rows, and carried rows earlier"
    ):
        made({"x": torch.randn(6, 6), "table": TABLE})


class Texts(nn.Module):
    """Takes rows as a list of texts, beside a mapping of tensors."""

    def __init__(self):
        super().__init__()
        self.embed, self.body, self.head = Lengths(), nn.Linear(4, 8), nn.Linear(8, CLASSES)

    def forward(self, texts, more):
        return self.head(self.body(self.embed(texts) + more["x"]).relu())


class Lengths(nn.Linear):
    def __init__(self):
        super().__init__(1, 4)

    def forward(self, texts):
        return super().forward(self.weight.new_tensor([[float(len(text))] for text in texts]))


def texts(rows: int) -> dict:
    return {"texts": ["a" * (1 + place) for place in range(rows)], "more": {"x": torch.randn(rows, 4)}}


@pytest.mark.parametrize("layers", [("body", "head"), ("",)])
def test_lists_carry_rows_where_they_are_declared(layers):
    made = group(Texts, layers, rows=["texts"])
    for rows in (7, 4, 1):
        assert_right(made, texts(rows), rows)
    with pytest.raises(
        ValueError, match=r"'texts' is a list of 7 entries in a batch of 7 rows.*rows=\('texts',\)"
    ):
        group(Texts, layers)(texts(7))
    wrong = texts(7) | {"more": {"x": torch.randn(6, 4)}}
    with pytest.raises(ValueError, match="declared to carry rows"):
        group(Texts, layers, rows=["texts", "more.x"])(wrong)


class Pair(NamedTuple):
    image: torch.Tensor
    text: torch.Tensor


@dataclass
class Opaque:
    image: torch.Tensor


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.image, self.text, self.head = nn.Linear(6, 8), nn.Linear(3, 8), nn.Linear(8, CLASSES)

    def forward(self, pair, scale):
        return self.head(self.image(pair.image).relu() * scale + self.text(pair.text))


@pytest.mark.parametrize("layers", [("head",), ("image", "text", "head"), ("",)])
def test_named_tuples_inside_a_mapping_and_two_towers(layers):
    """The second tower is given the rows as they entered, after students have parted in the first."""
    made = group(Two, layers)
    assert_right(made, {"scale": 2.0, "pair": Pair(torch.randn(7, 6), torch.randn(7, 3))}, 7)


def test_what_cannot_be_taken_apart_is_named(unchecked):
    x = torch.randn(4, 6)
    for odd, kind in (
        (Opaque(x), "Opaque that holds 'image'"),
        (x.numpy(), "ndarray"),
        (x.to_sparse(), "sparse"),
    ):
        with pytest.raises(ValueError, match=rf"input 'table' is a {kind}"):
            group()({"x": x, "table": odd})
    with pytest.raises(ValueError, match="the inputs are a tuple"):
        group()((x, x))


def test_names_are_checked():
    with pytest.raises(ValueError, match="under rows and under shared"):
        group(rows=["x"], shared=["x"])
    with pytest.raises(ValueError, match=r"rows names 'y'.*'x'"):
        group(rows=["y"])({"x": torch.randn(4, 6), "table": TABLE})


def test_a_task_passes_declarations_to_all_its_groups():
    torch.manual_seed(0)
    x = {"table": TABLE, "x": torch.randn(5, 6)}
    task = sg.recipes.dml(Table(), students=2, init=Table).with_inputs(shared=["table"])
    assert task(x, torch.arange(5)).logits.shape == (2, 5, 5)
    peers = sg.Peers([Table(), Table()], shared=["table"])
    assert peers(x, sees=sees(5)).logits.shape == (2, 5, 5)
    assert peers.count_rows(x) == 5
