"""Analyses of the runs of tables: in their folders, and those kept with results."""

from collections.abc import Mapping
from typing import Any

from reproduction.report.sources import Sources
from studygroup.analysis import kept
from studygroup.report.analyses import Analysed, Kept, analysed


def analyses(sources: Sources) -> list[Analysed]:
    """Return what analyses found in the runs of each table.

    Args:
        sources: whose run folders are looked through.

    Raises:
        ValueError: a file is damaged.
    """
    return [analysed(title, runs) for title, runs in _of_tables(sources)]


def _of_tables(sources: Sources) -> list[tuple[str, dict[str, list[Kept]]]]:
    """Return by table, and by label of the configuration: what each run has."""
    groups: dict[str, dict[str, list[Kept]]] = {}
    chosen, seen = {table.id for table in sources.tables}, set()
    for id, files in sources.files().items():
        every = [pair for file in files for pair in file["cells"].items()] if id in chosen else []
        for key, cell, seed in [(key, one, seed) for key, one in every for seed in one["seeds"]]:
            if (key, seed) not in seen:
                seen.add((key, seed))
                found = _with_results(sources, key, int(seed), cell["seeds"][seed])
                if found:
                    groups.setdefault(files[0]["title"], {}).setdefault(cell["cell"], []).append(found)
    return list(groups.items())


def _with_results(sources: Sources, key: str, seed: int, figures: Mapping[str, Any]) -> Kept:
    """Return the analyses of a run, in its folder or among its figures."""
    found: Kept = {"flatness": figures["flatness"]} if "flatness" in figures else {}
    for lab in sources.labs:
        found |= kept(lab.folder(key, seed))
    return found
