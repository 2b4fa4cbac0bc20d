"""Every published number is the one of the published file, and nothing of it is left out."""

import re

import pytest
from published_file import number, rows, text

from reproduction.equal_cost import AS_LONG
from reproduction.reading import table_called, tables


def ours(id, row):
    """Published mean and deviation of a row's cells."""
    table = table_called(id)
    numbers = [table.cells[row, column].published for column in table.columns]
    return [(one.mean, one.std) for one in numbers]


@pytest.mark.parametrize(
    ("id", "heading"), [("intra-table-1", "Table I:"), ("intra-table-2", "Table II:")], ids=["I", "II"]
)
def test_intra_errors(id, heading):
    head, *found = rows(heading)
    assert tuple(head[2:]) == table_called(id).columns
    assert table_called(id).rows == tuple(f"{data}, {model}" for data, model, *_ in found)
    for data, model, *cells in found:
        assert ours(id, f"{data}, {model}") == [number(cell) for cell in cells]
        marks = [table_called(id).cells[f"{data}, {model}", column].published.mark for column in head[2:]]
        assert marks == ["?" if "(?)" in cell else "" for cell in cells]


def test_intra_combinations():
    _, *found = rows("Table III:")
    table = table_called("intra-table-3")
    words = ("out", "mid", "pull-push", "kernel")
    marks = {"certain": "", "likely": "~"}
    assert len(found) == 15
    for column, (_, *crosses, vgg, resnet, sure) in zip(table.columns, found, strict=True):
        assert column == "+".join(word for word, cross in zip(words, crosses, strict=True) if cross == "x")
        for row, cell in (("VGG-16", vgg), ("ResNet-18", resnet)):
            published = table.cells[row, column].published
            assert (published.mean, published.std) == number(cell)
            assert published.mark[:1] == marks[re.match(r"\w+", sure)[0]]
    exchangeable = [
        column for column in table.columns if table.cells["VGG-16", column].published.mark == "~~"
    ]
    assert exchangeable == [table.columns[11], table.columns[12]]  # "only these two could be exchanged"


def test_intra_memory():
    found = re.search(
        r"plain ([\d.]+) GB; tree \(.*?, 4 heads\) ([\d.]+) GB; .*?, 4 predictions ([\d.]+) GB", text()
    )
    assert [mean for mean, _ in ours("intra-memory", "ResNet-101")] == [float(one) for one in found.groups()]


def test_cgl_data():
    head, *found = rows("Table 1: data")
    assert tuple(head[1:]) == table_called("cgl-table-1").columns
    assert table_called("cgl-table-1").rows == tuple(row[0] for row in found)
    for name, *cells in found:
        assert ours("cgl-table-1", name) == [number(cell) for cell in cells]


def test_cgl_accuracies():
    head, *found = rows("Tables 2 and 3")
    pictures = [row for row in found if row[0].startswith("ResNet")]
    for id, some in (
        ("cgl-table-2", pictures),
        ("cgl-table-3", [row for row in found if row not in pictures]),
    ):
        assert tuple(head[2:]) == table_called(id).columns
        printed = tuple(row for row in table_called(id).rows if AS_LONG not in row)
        assert printed == tuple(f"{network}, {data}" for network, data, *_ in some)
        for network, data, *cells in some:
            assert ours(id, f"{network}, {data}") == [number(cell) for cell in cells]
            assert all(std is not None for _, std in ours(id, f"{network}, {data}"))


def test_cgl_ablations():
    fourth, fourth_numbers, fifth, fifth_numbers = rows("Tables 4, 5")
    (row,) = table_called("cgl-table-4").rows
    assert ours("cgl-table-4", row) == [number(cell) for cell in fourth_numbers[1:]]
    starts = [re.match(r"[\w -]+\w", cell)[0] for cell in fourth[1:]]
    assert list(table_called("cgl-table-4").columns) == starts
    assert table_called("cgl-table-5").columns == tuple(fifth[1:])
    assert ours("cgl-table-5", row) == [number(cell) for cell in fifth_numbers[1:]]


_TABLE_6 = ("with sub-set learning", "without", "no imitation")


def test_cgl_diversity():
    _, *found = rows("Table 6")
    assert len(found) == 3
    for name, *cells in found:
        data, network = re.fullmatch(r"(.*) \((.*)\)", name).groups()
        *_, own = (table_called("cgl-table-6").cells[f"{network}, {data}", column] for column in _TABLE_6)
        assert own.published is None  # without imitation: not in print
        published = [
            table_called("cgl-table-6").cells[f"{network}, {data}", name].published for name in _TABLE_6
        ]
        assert [(one.mean, one.std) for one in published[:2]] == [number(cell) for cell in cells]


def test_cgl_transfer():
    found = rows("Table 7")
    assert len(found) == 6
    for data, (_, scores, ranks) in (("CIFAR-10", found[:3]), ("CIFAR-100", found[3:])):
        for what, cells in (("score", scores), ("rank", ranks)):
            assert cells[0] == what
            assert ours("cgl-table-7", f"{data}, {what}") == [number(cell) for cell in cells[1:]]


def test_cgl_appendix():
    cost = re.search(r"others 16 x 8 = (\d+) .*? so (\d+) in all", text())
    assert [mean for mean, _ in ours("cgl-appendix-cost", "one epoch")] == [
        float(one) for one in cost.groups()
    ]
    speed = re.search(r"within \[(-[\d.]+) %, \+([\d.]+) %\]", text())
    assert [mean for mean, _ in ours("cgl-appendix-convergence", "CGL")] == [
        float(one) for one in speed.groups()
    ]


def test_no_number_is_left_unchecked():
    """The tests above compare all tables that have numbers; the others are pictures, or print none."""
    empty = {
        id for id, table in tables().items() if all(cell.published is None for cell in table.cells.values())
    }
    pictures = {
        "intra-figure-2",
        *(f"cgl-figure-{number}" for number in (3, "3b", 4, 5, 6)),
        "cgl-appendix-time",
    }
    ours = {"intra-stand-in", "cgl-ag-news", *(id for id in tables() if id.startswith("regime-"))}
    assert empty == pictures | ours
    partly = {
        id
        for id, table in tables().items()
        if id not in empty and any(cell.published is None for cell in table.cells.values())
    }
    assert partly == {
        "cgl-table-2",
        "cgl-table-6",
        "cgl-appendix-cost",
    }  # columns or rows of our own beside those in print


def test_every_mark_has_a_meaning():
    for table in tables().values():
        used = {
            cell.published.mark for cell in table.cells.values() if cell.published and cell.published.mark
        }
        assert used == set(table.marks), table.id
