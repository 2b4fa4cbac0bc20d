"""How much of the papers has results, at which scale, with how many seeds; and what is missing, and why."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reproduction.lab import Lab
from reproduction.plan import Price, read_prices
from reproduction.report.contents import Section
from reproduction.report.costs import hours
from reproduction.report.sources import Sources
from reproduction.results import Found
from reproduction.tables import Cell, Table
from reproduction.verdicts import Verdict
from studygroup.analysis.intervals import FEWEST


@dataclass(frozen=True)
class Summary:
    """The top of the page.

    Attributes:
        tiles: a number, its total, and a description.
        verdicts: of the claims: name for the style sheet, description, number of claims.
        scale: the scale of each network that has runs.
        others: describes further results; empty if there are none.
    """

    tiles: Sequence[tuple[str, str, str]]
    verdicts: Sequence[tuple[str, str, int]]
    scale: str
    others: str


def summary(sections: Sequence[Section], sources: Sources) -> Summary:
    """Count tables, cells, claims and runs."""
    runnable = sum(len(one.table.runnable) for one in sections)
    begun, enough = sum(len(one.trained) for one in sections), sum(one.enough for one in sections)
    claims = [one for section in sections for one in section.claims]
    tested = sum(one.verdict is not Verdict.UNTESTED for one in claims)
    shown = _configurations(sections)
    runs = sum(len(some.runs) for some in shown)
    counts = [
        (verdict.name.lower(), verdict.value, sum(one.verdict is verdict for one in claims))
        for verdict in Verdict
    ]
    return Summary(
        tiles=[
            (
                f"{sum(bool(s.values) for s in sections)}",
                f"of {len(sections)}",
                "tables and figures with results",
            ),
            (f"{enough}", f"of {runnable}", f"cells with {FEWEST} seeds or more; {begun} with at least one"),
            (f"{tested}", f"of {len(claims)}", "claims tested"),
            (f"{runs}", "runs", f"of {len(shown)} configurations, {hours(shown):.1f} hours of training"),
        ],
        verdicts=counts,
        scale=_scale(sections, sources),
        others=_others(shown, sources),
    )


def machines(
    sources: Sources, sections: Sequence[Section]
) -> list[tuple[Mapping[str, Any], list[tuple[str, str]]]]:
    """Return machines with versions, and the commands run on each: id of the table and command."""
    ids = {section.table.id for section in sections}
    found: dict[str, tuple[dict[str, Any], dict[tuple[str, str], None]]] = {}
    for id, files in sources.files().items():
        for made in (made for file in files for made in file["made"]) if id in ids else ():
            machine = {name: value for name, value in made.items() if name != "command" and value is not None}
            key = json.dumps(machine, sort_keys=True)
            found.setdefault(key, (machine, {}))[1][id, made.get("command", "")] = None
    return [(machine, list(commands)) for machine, commands in found.values()]


def _configurations(sections: Sequence[Section]) -> list[Found]:
    """Return the shown configurations, each once."""
    kept: dict[str, Found] = {}
    for section in sections:
        for place in section.trained:
            some = section.found[place]
            kept.setdefault(some.key, some)
    return list(kept.values())


def _scale(sections: Sequence[Section], sources: Sources) -> str:
    """Describe the scale and regimes of the networks that have runs."""
    scale = sources.labs[0].scale
    cells = [one.table.cells[place] for one in sections for place in one.trained]
    own = (cell for cell in cells if cell.settings and not cell.regime)
    names = dict.fromkeys(scale.name_of((cell.settings or {})["model"], cell.data) for cell in own)
    return "; ".join(f"{name}: {scale.regimes[name]}" for name in names)


def _others(shown: Sequence[Found], sources: Sources) -> str:
    """Describe results that no shown table has."""
    seen = {some.key for some in shown}
    rest = [some for key, some in sources.whole.read_results().items() if key not in seen]
    if not rest:
        return ""
    return (
        f"The results also hold {sum(len(some.runs) for some in rest)} runs of {len(rest)} configurations that no "
        "table shown here asks for: another scale or size (--scale, --rows, --epochs, --change), or tables left out."
    )


def gaps(sections: Sequence[Section], labs: Sequence[Lab]) -> list[tuple[Table, Sequence[str]]]:
    """Return the tables that were not fully reproduced, with reasons, most general first."""
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
    """Describe how long the missing runs would take, for as many seeds as a claim needs."""
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
    """Return whether a run's data have a place, which exists if it is a folder of this machine."""
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
