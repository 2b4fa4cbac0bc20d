"""The folders that a report is made of."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reproduction.lab import Lab
from reproduction.reading import table_called, tables
from reproduction.results import read
from reproduction.scale import SMALL, Scale
from reproduction.tables import Table
from studygroup.report.sources import Folders, sort_folders
from studygroup.training.config import Config


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The folders and tables that a report shows.

    Attributes:
        tables: of the papers, in printed order.
        labs: folders of the papers' runs or results.
        whole: all of them combined.
        folders: comparisons and single runs to show as well.
    """

    tables: tuple[Table, ...]
    labs: tuple[Lab, ...]
    whole: Lab
    folders: Folders

    def files(self) -> dict[str, list[dict[str, Any]]]:
        """Return the files of results unchanged, by table, with their commands, versions and machines."""
        content: dict[str, list[dict[str, Any]]] = {}
        for lab in self.labs:
            for id in tables():
                path = lab.results_dir / f"{id}.json"
                if path.exists():
                    content.setdefault(id, []).append(read(path))
        return content


def sources(
    folders: Sequence[str], *, scale: Scale = SMALL, change: Config | None = None, ids: Sequence[str] = ()
) -> Sources:
    """Sort folders by what they hold.

    Args:
        folders: of results, comparisons or runs.
        scale: of the runs that are shown.
        change: settings that they were made with, which override all others.
        ids: of the tables to show; empty means all.

    Raises:
        ValueError: a folder holds none of these, an id names no table, no folder has results of a table,
            results are damaged, or two folders have runs of one cell on different data.
    """
    asked = {table_called(id).id for id in ids} or set(tables())
    chosen = tuple(table for table in tables().values() if table.id in asked)
    labs, folders_of_runs = [], sort_folders(folders)
    for path in folders_of_runs.others:
        if (path / "results").is_dir():
            labs.append(Lab(run_dir=path, scale=scale, change=change or {}))
        elif any((path / f"{id}.json").exists() for id in tables()):
            labs.append(Lab(run_dir=path, scale=scale, change=change or {}, results=path))
        else:
            raise ValueError(
                f"{path} holds no results; give a --run_dir of `python -m reproduction run`, a folder of its "
                "results, one that `studygroup compare` wrote, or the folder of a finished run"
            )
    if not labs:
        raise ValueError(
            "no folder has results of a table; `studygroup report` makes a page of runs and comparisons"
        )
    labs = [lab.with_places() for lab in labs]
    # ranks, speeds and the like follow from the runs of all folders, not from those of each
    whole = dataclasses.replace(labs[0], further=tuple(lab.results_dir for lab in labs[1:]))
    return Sources(tables=chosen, labs=tuple(labs), whole=whole, folders=folders_of_runs)
