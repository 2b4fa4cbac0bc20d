"""The parts of the tables that were not reproduced, and why: plain words for each table."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from reproduction.lab import Lab
from reproduction.plan import Price, read_prices
from reproduction.report.contents import Section
from reproduction.tables import Cell, Table
from studygroup.analysis.intervals import FEWEST


def gaps(sections: Sequence[Section], labs: Sequence[Lab]) -> list[tuple[Table, Sequence[str]]]:
    """Return the tables of which something was not reproduced, with reasons, most general first."""
    priced = {key: price for lab in labs for key, price in read_prices(lab.results_dir).items()}
    found = [(one.table, [*_reasons(one, labs), *_hours(one, priced)]) for one in sections]
    return [(table, reasons) for table, reasons in found if reasons]


def _reasons(section: Section, labs: Sequence[Lab]) -> list[str]:
    table, values = section.table, section.trained
    if not table.runnable:
        return [] if section.values else [f"{table.untrained}: nothing is trained for it"]
    said = []
    absent = [cell for cell in table.runnable if cell.place not in values]
    if not values:
        said.append(f"no runs of any of its {len(table.runnable)} cells")
    elif absent:
        said.append(f"no runs of {len(absent)} of {len(table.runnable)} cells: {_listed(absent)}")
    homeless = sorted({cell.data.name for cell in absent if cell.data and not _at_hand(cell, labs)})
    if homeless:
        verb, needs = ("is", "it needs") if len(homeless) == 1 else ("are", "each needs")
        said.append(f"{', '.join(homeless)} {verb} not at hand: {needs} a folder, see --data")
    few = [table.cells[place] for place, numbers in values.items() if len(numbers) < FEWEST]
    if few:
        said.append(f"fewer than {FEWEST} seeds, so nothing is claimed: {_listed(few)}")
    untold = sum(not one.claim.contrasts for one in section.claims)
    if untold:
        said.append(f"{untold} of {len(section.claims)} claims cannot be tested by any cell")
    return said


def _hours(section: Section, priced: Mapping[str, Price]) -> list[str]:
    """Tell how long the runs would take that cells lack of as many seeds as a claim needs."""
    lacking: dict[str, int] = {}
    for cell in section.table.runnable:
        seeds = FEWEST - len(section.values.get(cell.place, ()))
        if seeds > 0:
            lacking[section.lab.key(cell)] = seeds
    if not lacking:
        return []
    said, asked = (
        f"{sum(lacking.values())} runs are missing of {FEWEST} seeds",
        f"python -m reproduction plan {section.table.id}",
    )
    known = {key: seeds for key, seeds in lacking.items() if key in priced}
    if not known:
        return [f"{said}; what they would take was not measured: `{asked}` does"]
    hours = sum(priced[key].hours * seeds for key, seeds in known.items())
    machines = " and ".join(sorted({priced[key].machine for key in known}))
    whole = len(known) == len(lacking)
    which = "which" if whole else f"{sum(known.values())} of them"
    rest = "" if whole else f"; the others were not measured, `{asked}` does"
    return [
        f"{said}, {which} would take about {hours:.1f} hours one after the other, by a measured step of each on "
        f"{machines}{rest}"
    ]


def _at_hand(cell: Cell, labs: Sequence[Lab]) -> bool:
    """Return whether a run would know where its data are, and find them there if that is a folder of this machine."""
    assert cell.data is not None
    places = [lab.data.get(cell.data.short, cell.data.place) for lab in labs]
    return any(
        place is not None and (not Path(place).is_absolute() or Path(place).exists()) for place in places
    )


def _listed(cells: Sequence[Cell], *, most: int = 6) -> str:
    """List cells by row: `ROW (COLUMN, COLUMN)`."""
    rows: dict[str, list[str]] = {}
    for cell in cells:
        rows.setdefault(cell.place[0], []).append(cell.place[1])
    said = [
        f"{row} ({', '.join(columns) if len(columns) <= most else f'{len(columns)} columns'})"
        for row, columns in rows.items()
    ]
    return "; ".join(said[:most]) + (f"; and {len(said) - most} rows more" if len(said) > most else "")
