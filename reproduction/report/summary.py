"""The top of the page: how much of the papers has results, at which scale, with how many seeds."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reproduction.report.contents import Section
from reproduction.report.costs import hours
from reproduction.report.sources import Sources
from reproduction.results import Found
from reproduction.verdicts import Verdict
from studygroup.analysis.intervals import FEWEST


@dataclass(frozen=True)
class Summary:
    """The top of the page.

    Attributes:
        tiles: a number, what it is of, and words.
        verdicts: of the claims: name for the style sheet, words, number of claims.
        scale: as it is for each network that has runs.
        others: tells of further results; empty where there are none.
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
    """Return what is shown, each configuration once."""
    kept: dict[str, Found] = {}
    for section in sections:
        for place in section.trained:
            some = section.found[place]
            kept.setdefault(json.dumps(some.settings, sort_keys=True), some)
    return list(kept.values())


def _scale(sections: Sequence[Section], sources: Sources) -> str:
    """Tell scale and regimes of the networks that have runs."""
    scale = sources.labs[0].scale
    cells = [one.table.cells[place] for one in sections for place in one.trained]
    models = dict.fromkeys(cell.settings["model"] for cell in cells if cell.settings and not cell.regime)
    return "; ".join(f"{model}: {scale.regimes[model]}" for model in models)


def _others(shown: Sequence[Found], sources: Sources) -> str:
    """Tell of results that no table shown has."""
    seen = {json.dumps(some.settings, sort_keys=True) for some in shown}
    every = {
        json.dumps(some.settings, sort_keys=True): some for some in sources.whole.read_results().values()
    }
    rest = [some for key, some in every.items() if key not in seen]
    if not rest:
        return ""
    return (
        f"The results also hold {sum(len(some.runs) for some in rest)} runs of {len(rest)} configurations that no "
        "table shown here asks for: another scale or size (--scale, --rows, --epochs, --change), or tables left out."
    )
