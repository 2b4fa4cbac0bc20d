import datasets
import pyarrow
import pytest
import torch

from helpers.text_rows import text_split
from studygroup.data.text import TextSplit

MANY = [f"text {number}" for number in range(3000)]


def mapped(texts, folder, *, rows_a_file=700):
    """The same split over a memory map of several pieces."""
    paths = []
    for start in range(0, len(texts), rows_a_file):
        paths.append(str(folder / f"{start}.parquet"))
        datasets.Dataset.from_dict({"text": texts[start : start + rows_a_file]}).to_parquet(paths[-1])
    table = datasets.Dataset.from_parquet(paths, cache_dir=str(folder / "cache"))
    rows = torch.arange(len(texts))
    return TextSplit(table, columns=("text",), labels=rows % 3, rows=rows, name="mapped")


def test_texts_can_be_gone_through_again():
    texts = text_split(MANY).texts()
    assert list(texts) == MANY
    assert list(texts) == MANY
    assert len(texts) == 3000


def test_a_text_that_is_no_utf_8_is_named():
    values = pyarrow.array([b"one", b"caf\xe9", b"three"]).view(pyarrow.string())
    table = datasets.Dataset(pyarrow.table({"text": values}))
    split = TextSplit(
        table,
        columns=("text",),
        labels=torch.zeros(3, dtype=torch.int64),
        rows=torch.tensor([2, 1, 0]),
        name="mine",
    )
    assert list(split.take(torch.tensor([0, 2])).texts()) == ["three", "one"]
    with pytest.raises(
        ValueError, match=r"mine, row 1: the text in column 'text' is no UTF-8 \(.* at byte 3\); store"
    ):
        list(split.texts())


@pytest.mark.parametrize(
    "rows",
    [
        torch.arange(100, 2500),
        torch.arange(0, 3000, 7),
        torch.randperm(3000, generator=torch.Generator().manual_seed(0)),
        torch.tensor([2999, 0, 1500, 0]),
        torch.tensor([5]),
    ],
    ids=["dense", "sparse", "shuffled", "few", "one"],
)
def test_any_rows_in_any_order(tmp_path, rows):
    part = mapped(MANY, tmp_path).take(rows)
    assert list(part.texts()) == [MANY[row] for row in rows]
    assert torch.equal(part.labels, rows % 3)
    assert len(part) == len(rows)


def test_taking_of_what_was_taken():
    part = text_split(MANY).take(torch.tensor([9, 4, 7])).take(torch.tensor([2, 0]))
    assert list(part.texts()) == ["text 7", "text 9"]
    assert part.labels.tolist() == [1, 0]


def test_no_rows():
    assert list(text_split(MANY).take(torch.arange(0)).texts()) == []


def test_blocks_bound_what_is_read_at_once():
    assert [len(block) for block in text_split(MANY).blocks()] == [1024, 1024, 952]


def test_columns_are_joined_by_a_space():
    split = text_split({"title": ["a", ""], "content": ["b  ", "c"], "answer": ["", "d"]})
    assert list(split.texts()) == ["a b   ", " c d"]


def test_escaped_newlines():
    texts = [r"one\ntwo\\n", "as\nit is"]
    assert list(text_split(texts, escaped=True).texts()) == ["one\ntwo\\\n", "as\nit is"]
    assert list(text_split(texts).texts()) == texts


def test_large_strings():
    features = datasets.Features(text=datasets.Value("large_string"), more=datasets.Value("string"))
    table = datasets.Dataset.from_dict({"text": ["a", "b"], "more": ["c", "d"]}, features=features)
    rows = torch.arange(2)
    split = TextSplit(table, columns=("text", "more"), labels=rows, rows=rows, name="x")
    assert list(split.texts()) == ["a c", "b d"]


@pytest.mark.parametrize("rows", [torch.tensor([0, 2, 3]), torch.tensor([3, 0])])
def test_a_missing_text_is_named_by_its_row_in_the_table(rows):
    split = text_split({"text": ["a", "b", "c", None], "more": list("efgh")}).take(rows)
    with pytest.raises(
        ValueError, match=r"made up, row 3: there is no text in column 'text' \(1 such rows\)"
    ):
        list(split.texts())
