"""CSV files of texts, read row by row into a memory map, once."""

import codecs
import csv
import hashlib
import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow

from studygroup.data.text.cache import kept_table

_VERSION = 2  # of the files: raise it when their content changes
_BLOCK = 1024  # rows written at once: bounds the memory
_NUMBERED = pyarrow.schema({"text": pyarrow.string(), "label": pyarrow.int64()})
_NAMED = pyarrow.schema({"text": pyarrow.string(), "label": pyarrow.string()})
_DELIMITERS = (",", ";", "\t")  # in order of preference
_LONGEST = 2**31 - 1  # characters of a field; the csv module's own limit is 131,072
_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_NUMBER = re.compile(r"\s*[0-9]{1,18}\s*")

Row = tuple[int, list[str]]  # its first line, and its fields


def is_numbered(file: str) -> bool:
    """Tell whether a file has no header and begins with a class number, as Zhang et al.'s (2015) official files do.

    Raises:
        ValueError: the file is empty or no CSV.
    """
    rows = _rows(file)
    first = next(rows)[1]
    rows.close()
    return _NUMBER.fullmatch(first[0]) is not None


def numbered_table(files: Sequence[str]) -> Any:
    """Read files without a header: a class number from 1 on, then one or more columns of text.

    Columns are separated by commas, semicolons or tabs, whichever the first row shows. Fields are in double quotes,
    inner quotes are doubled, and a newline is written as a backslash and an n. The columns of text are joined by one
    space, see `TextSplit`.

    Returns:
        A `datasets.Dataset` with `text` and `label`, whole numbers from 0.

    Raises:
        ValueError: a file is empty or no CSV in UTF-8, a quote is not closed, a row has more or fewer columns than
            the first, or no class number; names the line.
    """
    return _table(files, _NUMBERED, _numbered)


def named_table(files: Sequence[str]) -> Any:
    """Read files with a header that contains `text` and `label`; other columns are ignored.

    Returns:
        A `datasets.Dataset` with `text` and `label`, both strings.

    Raises:
        ValueError: a file is empty or no CSV in UTF-8, has no such header, a quote is not closed, a row has more or
            fewer columns than the first, or no label; names the line.
    """
    return _table(files, _NAMED, _named)


def _table(files: Sequence[str], schema: pyarrow.Schema, parse: Any) -> Any:
    """Return texts and labels of all files, from the cache if the files are unchanged."""
    stats = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in map(Path, files)]
    key = hashlib.sha256(f"{_VERSION} {schema} {stats}".encode()).hexdigest()
    return kept_table(
        f"tables/{key}.arrow",
        schema,
        lambda: _batches((row for file in files for row in parse(file)), schema),
        what=f"reading {', '.join(files)}",
    )


def _batches(rows: Iterable[tuple[str, Any]], schema: pyarrow.Schema) -> Iterator[pyarrow.RecordBatch]:
    """Yield texts and labels in blocks of rows."""
    rows = iter(rows)
    while block := list(islice(rows, _BLOCK)):
        yield pyarrow.record_batch(list(zip(*block, strict=True)), schema=schema)


def _numbered(file: str) -> Iterator[tuple[str, int]]:
    """Yield text and class of each row; see `numbered_table`."""
    for line, (label, *texts) in _rows(file):
        if not _NUMBER.fullmatch(label) or not int(label):
            raise ValueError(
                f"{file}, line {line}: the class is {label!r}; without a header, the first column must hold class "
                "numbers from 1 on"
            )
        if not texts:
            raise ValueError(
                f"{file}, line {line}: there is a class number and no text; add a column of text"
            )
        yield " ".join(texts).replace("\\n", "\n"), int(label) - 1


def _named(file: str) -> Iterator[tuple[str, str]]:
    """Yield text and label of each row; see `named_table`."""
    rows = _rows(file)
    _, header = next(rows)
    names = [name.strip() for name in header]
    if not {"text", "label"} <= set(names):
        raise ValueError(
            f"{file} begins with {str(names)[:200]}: neither a class number nor a header with 'text' and 'label'; "
            "call the columns so, or put the class number, from 1 on, first"
        )
    twice = [name for name in ("text", "label") if names.count(name) > 1]
    if twice:
        raise ValueError(f"{file} has two columns called {twice[0]!r}; rename one")
    text, label = names.index("text"), names.index("label")
    for line, row in rows:
        if not row[label].strip():
            raise ValueError(f"{file}, line {line}: there is no label; add it or remove the row")
        yield row[text], row[label].strip()


def _rows(file: str) -> Generator[Row, None, None]:
    """Yield all rows that are not blank, each with as many fields as the first."""
    width = 0
    for line, row in _fields(file):
        width = width or len(row)
        if len(row) != width:
            raise ValueError(
                f"{file}, line {line}: there are {len(row)} columns and {width} in the first row; put texts with "
                "commas in double quotes, and double the quotes in them"
            )
        yield line, row
    if not width:
        raise ValueError(f"{file} is empty; give a file with rows")


def _fields(file: str) -> Iterator[Row]:
    """Yield all rows that are not blank, read strictly: a stray quote would merge many rows into one text."""
    line = 1
    try:
        encoding = _encoding(file)
        delimiter = _delimiter(file, encoding)
        with open(file, encoding=encoding, newline="") as lines:
            reader = _reader(lines, delimiter)
            for row in reader:
                if row:
                    yield line, row
                line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(
            f"{file}, line {line}: this row is no CSV ({error}); close every double quote, and double those inside a "
            "text"
        ) from error
    except UnicodeError as error:
        raise ValueError(
            f"{file}{_damaged_line(file)} cannot be read as text in UTF-8 ({error}); convert it, for example with "
            f"`iconv -f latin1 -t utf-8`, or store it anew as UTF-8"
        ) from error
    except OSError as error:
        raise ValueError(f"{file} cannot be read as text in UTF-8 ({error}); copy it again") from error


def _damaged_line(file: str) -> str:
    """Return where a file stops being UTF-8, in words: what the reader decodes at once begins lines before."""
    with open(file, "rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return f", line {number},"
    return ""


def _encoding(file: str) -> str:
    """Return UTF-16 where a file begins with its mark, else UTF-8, with a mark or without.

    Raises:
        ValueError: the file begins like UTF-16 or UTF-32 without a mark.
    """
    with open(file, "rb") as stream:
        start = stream.read(4)
    if start[:2] in _MARKS and start != codecs.BOM_UTF32_LE:
        return _MARKS[start[:2]]
    if b"\0" in start and not start.startswith(codecs.BOM_UTF32_LE[:2]):
        raise ValueError(
            f"{file} begins with bytes of value 0, as UTF-16 without a mark does; store it as UTF-8, for example "
            "with `iconv -f utf-16le -t utf-8`"
        )
    return "utf-8-sig"


def _delimiter(file: str, encoding: str) -> str:
    """Return what separates the columns: the first of comma, semicolon and tab that makes sense of the first row."""
    for delimiter in _DELIMITERS:
        with open(file, encoding=encoding, newline="") as lines:
            try:
                first: list[str] = next((row for row in _reader(lines, delimiter) if row), [])
            except csv.Error:
                continue
        names = {name.strip() for name in first}
        if {"text", "label"} <= names or (len(first) > 1 and _NUMBER.fullmatch(first[0])):
            return delimiter
    return _DELIMITERS[0]


def _reader(lines: Iterable[str], delimiter: str) -> Any:
    """Return a strict reader of fields of any length: the limit, one for the whole process, is lifted for good."""
    csv.field_size_limit(_LONGEST)
    return csv.reader(lines, strict=True, delimiter=delimiter)
