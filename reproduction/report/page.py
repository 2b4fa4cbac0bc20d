"""The report: everything in one page."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from reproduction.report.contents import Section
from reproduction.report.sources import Sources
from reproduction.report.summary import gaps, machines, summary
from studygroup.analysis import read_analyses
from studygroup.report.analyses import Kept, analysed
from studygroup.report.page import render


def page(sources: Sources, *, again: str) -> str:
    """Return the whole page as HTML.

    Args:
        sources: what it shows.
        again: options of the command that makes these runs.

    Raises:
        ValueError: results that are damaged, or do not fit together.
    """
    sections = [Section(table, sources.whole, sources.whole.found(table)) for table in sources.tables]
    return render(
        "tables.html",
        sources.folders,
        packages=["reproduction.report"],
        styles=["tables.css"],
        analyses=[analysed(title, runs) for title, runs in _analyses(sources, sections)],
        title="Published numbers and ours",
        program="python -m reproduction report",
        papers=_by_paper(sections),
        summary=summary(sections, sources),
        gaps=gaps(sections, sources.labs),
        machines=machines(sources, sections),
        scale=sources.labs[0].scale.name,
        again=again,
    )


def _by_paper(sections: Sequence[Section]) -> list[tuple[str, list[Section]]]:
    return [(name, list(some)) for name, some in groupby(sections, lambda section: section.table.paper)]


def _analyses(sources: Sources, sections: Sequence[Section]) -> list[tuple[str, dict[str, list[Kept]]]]:
    """Return by table, and by label of the configuration: what each run has, of those that the tables show."""
    groups: dict[str, dict[str, list[Kept]]] = {}
    shown, seen = {one.key for section in sections for one in section.found.values()}, set()
    for files in sources.files().values():
        every = [pair for file in files for pair in file["cells"].items()]
        for key, cell, seed in [(key, one, seed) for key, one in every for seed in one["seeds"]]:
            if key in shown and (key, seed) not in seen:
                seen.add((key, seed))
                found = _with_results(sources, key, int(seed), cell["seeds"][seed])
                if found:
                    groups.setdefault(files[0]["title"], {}).setdefault(cell["cell"], []).append(found)
    return list(groups.items())


def _with_results(sources: Sources, key: str, seed: int, figures: Mapping[str, Any]) -> Kept:
    """Return the analyses of a run, in its folder or among its figures."""
    found: Kept = {"flatness": figures["flatness"]} if "flatness" in figures else {}
    for lab in sources.labs:
        found |= read_analyses(lab.folder(key, seed))
    return found
