"""The results in short, as Markdown between two marks of a README."""

from collections.abc import Mapping, Sequence

from reproduction import show
from reproduction.lab import Lab
from reproduction.reading import tables
from reproduction.results import Found
from reproduction.tables import Cell, Place, Table
from reproduction.verdicts import Judged, Verdict, judged
from studygroup.analysis.intervals import FEWEST

BEGIN = "<!-- results: written by benchmarks/readme.py -->"
END = "<!-- end of results -->"


def results(lab: Lab) -> str:
    """One compact table for each table of the papers that has runs, what is more of methods and data sets down.

    Args:
        lab: whose results are shown; only its folder of results is read.
    """
    shown = [table for table in tables().values() if table.runnable] if lab.known() else []
    said = [text for table in shown if (text := _table(table, lab))]
    if not said:
        return "Nothing of the papers' tables has been run yet.\n"
    how = (
        f"Published / ours ± sample deviation over seeds (number of seeds), at scale `{lab.scale.name}`: thin "
        f"networks, small pictures and fewer rows, so levels differ and orderings are what is compared. Claims are "
        f"judged from {FEWEST} seeds on."
    )
    return "\n\n".join([how, *said]) + "\n"


def replaced(readme: str, text: str) -> str:
    """A README with another text between the marks.

    Args:
        readme: as it is.
        text: ends with a line break.

    Raises:
        ValueError: a mark is missing, or they are not in order.
    """
    begin, end = readme.find(BEGIN), readme.find(END)
    if begin < 0 or end < begin:
        raise ValueError(
            f"the README has no {BEGIN!r} followed by {END!r}; put both where the results belong"
        )
    return f"{readme[: begin + len(BEGIN)]}\n\n{text}\n{readme[end:]}"


def _table(table: Table, lab: Lab) -> str:
    """Empty where nothing was run."""
    found = lab.found(table)
    found = {place: some for place, some in found.items() if table.cells[place].trained}
    rows = [row for row in table.rows if any((row, column) in found for column in table.columns)]
    columns = [column for column in table.columns if any((row, column) in found for row in rows)]
    if not rows:
        return ""
    printed = any(cell.published for cell in table.cells.values())
    cells = [[_both(table.cells[row, column], found, printed=printed) for column in columns] for row in rows]
    down, across = rows, columns
    if len(across) > len(down):
        down, across, cells = columns, rows, [list(column) for column in zip(*cells, strict=True)]
    lines = [
        f"**{table.title}** ({table.units}; {table.paper})",
        "",
        show.row_of("", *across),
        show.row_of(*["---"] * (len(across) + 1)),
        *(show.row_of(name, *line) for name, line in zip(down, cells, strict=True)),
    ]
    marks = {
        number.mark for row in rows for column in columns if (number := table.cells[row, column].published)
    }
    remarks = [f"({mark}) {meaning}." for mark, meaning in table.marks.items() if mark in marks]
    remarks += [*show.stand_ins(table, found), *show.unconverged(table, found)]
    said = _claims(judged(table, show.values(table, found)))
    return "\n".join([*lines, *(f"\n{text}" for text in (" ".join(remarks), said) if text)])


def _both(cell: Cell, found: Mapping[Place, Found], *, printed: bool) -> str:
    """Published and ours; ours alone where the table has no published numbers."""
    own = show.ours(cell, found) or "-"
    return f"{show.published(cell)} / {own}" if printed else own


def _claims(found: Sequence[Judged]) -> str:
    """How many of the paper's claims came out how, as far as they were tested."""
    counts = {verdict: sum(one.verdict is verdict for one in found) for verdict in Verdict}
    tested = [f"{verdict.value} {counts[verdict]}" for verdict in Verdict if verdict is not Verdict.UNTESTED]
    if sum(counts.values()) == counts[Verdict.UNTESTED]:
        return ""
    return f"Of {len(found)} claims: {', '.join(tested)}, not tested {counts[Verdict.UNTESTED]}."
