"""The papers' files: `intra.yaml`, `cgl.yaml` and `sets.yaml`, and `regime.yaml`, questions of our own.

A paper's `common` settings are given once. A `part` is what a word adds to them: a network, a data set, a method;
it is settings, another word, or a list of these. The labels of a table's rows and columns are such words, or
several joined by `, ` or `+`: the cell in row `CIFAR-10, VGG-16` and column `out+mid` has the common settings with
those of four parts, each overriding the ones before; a part that several words share is applied once, by the first
of them. A table may add words to all its cells (`common`), define words (`parts`), and change single cells
(`cells`). If columns are a mapping, its values are the words. Among settings, `regime` gives a cell's rows, epochs
and side of pictures, whatever the scale. `as_long` gives the time that columns take over the plain network's, see
`reproduction.equal_cost`. A file that is `like` another also has the common settings and parts of that file.
"""

import functools
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

import yaml

from reproduction.claims import claims
from reproduction.equal_cost import with_equal_cost
from reproduction.measures import MEASURES
from reproduction.tables import Cell, DataSet, Number, Table
from studygroup.naming import did_you_mean
from studygroup.training.config import Config

_NUMBER = re.compile(r"(-?[\d.]+)(?: ± ([\d.]+))?(?: \((.+)\))?")


@functools.cache
def tables() -> Mapping[str, Table]:
    """Read all tables and figures of both papers by their ids, in printed order, and then our own."""
    sets = {name: DataSet(name, **{"place": None, **rest}) for name, rest in read_yaml("sets").items()}
    found = (read_paper(_paper(name), sets) for name in ("intra", "cgl", "regime"))
    return {table.id: table for tables in found for table in tables}


def table_called(id: str) -> Table:
    """Return the table of an id.

    Raises:
        ValueError: there is none; the message lists similar ones.
    """
    found = tables()
    if id not in found:
        raise ValueError(
            f"there is no table {id!r}{did_you_mean(id, found)}; `python -m reproduction list` shows all"
        )
    return found[id]


def read_paper(paper: Config, sets: Mapping[str, DataSet]) -> Iterator[Table]:
    """Read the tables of one paper.

    Args:
        paper: content of its file.
        sets: data sets by their names in the papers.

    Raises:
        ValueError: a word that is not a part, a wrong count of numbers, or a cell or claim of an unknown row or
            column.
    """
    for id, table in paper["tables"].items():
        yield _table(id, table, paper, sets)


def merged(under: Config, over: Config) -> Config:
    """Override settings by others, level by level; a different class replaces the earlier one and its arguments."""
    result = dict(under)
    for name, value in over.items():
        old = result.get(name)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            before = old.get("class_path")
            same = before in (None, value.get("class_path", before))
            result[name] = merged(dict(old), dict(value)) if same else value
        else:
            result[name] = value
    return result


def _paper(name: str) -> Config:
    """Read a paper, with what it inherits from another."""
    paper = read_yaml(name)
    other = _paper(paper["like"]) if "like" in paper else {}
    inherited = {kind: {**other.get(kind, {}), **paper.get(kind, {})} for kind in ("common", "parts")}
    return paper | inherited


def read_yaml(name: str) -> Config:
    """Return the content of a file next to this one, by its name without `.yaml`."""
    content: Config = yaml.safe_load((files("reproduction") / f"{name}.yaml").read_text(encoding="utf-8"))
    return content


def _table(id: str, table: Config, paper: Config, sets: Mapping[str, DataSet]) -> Table:
    columns, rows = table["columns"], table["rows"]
    known = Parts({**paper["parts"], **table.get("parts", {})}, sets, where=id)
    words = columns if isinstance(columns, Mapping) else {column: known.words(column) for column in columns}
    cells = {}
    for row, numbers in rows.items():
        if numbers is not None and len(numbers) != len(words):
            raise ValueError(f"{id}: row {row!r} has {len(numbers)} numbers for {len(words)} columns")
        for column, number in itertools.zip_longest(words, numbers or ()):
            place = (row, column)
            own = [*table.get("common", ()), *known.words(row), *words[column]]
            more = table.get("cells", {}).get(" | ".join(place), {})
            runs = table.get("runs", True) and row not in table.get("ranks", {})
            settings = merged(known.settings(paper["common"], own), more) if runs else None
            measure = table["measure"] if isinstance(table["measure"], str) else table["measure"][row]
            cells[place] = Cell(
                place,
                MEASURES[measure],
                None if number is None else _number(str(number)),
                None
                if settings is None
                else {name: value for name, value in settings.items() if name != "regime"},
                None if settings is None else known.data(own),
                {} if settings is None else settings.get("regime", {}),
            )
    labels = {cell.label for cell in cells.values()}
    stray = [label for label in table.get("cells", {}) if label not in labels]
    if stray:
        raise ValueError(f"{id}: there is no cell {stray[0]!r}; cells are called 'ROW | COLUMN'")
    read = Table(
        id=id,
        paper=paper["name"],
        title=table["title"],
        rows=tuple(rows),
        columns=tuple(words),
        cells=cells,
        claims=claims(id, table.get("claims", ()), cells),
        marks=table.get("marks", {}),
        note=table.get("note", ""),
        ranks=table.get("ranks", {}),
    )
    return with_equal_cost(read, table.get("as_long", {}))


class Parts:
    """The settings that words abbreviate.

    Args:
        parts: settings, words, or lists of both, by word.
        sets: data sets, which are words, too.
        where: the table, for messages.
    """

    def __init__(self, parts: Mapping[str, Any], sets: Mapping[str, DataSet], *, where: str) -> None:
        self._parts, self._sets, self._where = parts, sets, where

    def words(self, label: str) -> list[str]:
        """Return the parts that a label names: the one of that name, or those joined by `, ` or `+`."""
        return [label] if label in self._parts else re.split(r", |\+", label)

    def settings(self, common: Config, words: Sequence[Any]) -> Config:
        """Override the common settings by those of the words, in order; a repeated word counts once.

        Raises:
            ValueError: a word that is no part.
        """
        result = functools.reduce(merged, self._unfolded(words, set()), common)
        return merged(result, {"holdout": self.data(words).holdout})

    def data(self, words: Sequence[Any]) -> DataSet:
        """Return the data set among the words.

        Raises:
            ValueError: there is not exactly one.
        """
        found = [self._sets[word] for word in words if isinstance(word, str) and word in self._sets]
        if len(found) != 1:
            raise ValueError(
                f"{self._where}: {list(words)} name {len(found)} data sets; name one of {list(self._sets)}"
            )
        return found[0]

    def _unfolded(self, part: Any, known: set[str]) -> Iterator[Config]:
        """Yield all settings of a part, in order; a word that is `known` adds nothing, so later changes remain."""
        if isinstance(part, Mapping):
            yield dict(part)
        elif not isinstance(part, str):
            for inner in part:
                yield from self._unfolded(inner, known)
        elif part not in known:
            known.add(part)
            yield from self._unfolded(self._named(part), known)

    def _named(self, word: str) -> Any:
        if word not in self._parts:
            raise ValueError(
                f"{self._where}: {word!r} is none of the parts {', '.join(self._parts)}; add it to them"
            )
        return self._parts[word]


def _number(text: str) -> Number:
    """Parse a number in the files' notation: `93.97 ± 0.09 (?)`, deviation and mark optional."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a number; write MEAN, MEAN ± STD, or MEAN (MARK)")
    mean, std, mark = match.groups()
    return Number(float(mean), None if std is None else float(std), mark or "")
