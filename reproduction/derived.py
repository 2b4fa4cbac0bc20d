"""Numbers of cells that have no runs: counts, ranks of other cells, or convergence of other tables' runs."""

import functools
import json
import statistics
from collections.abc import Callable, Mapping
from typing import Any

from reproduction.measures import MEASURES, build_task, meta_batch, method_of
from reproduction.reading import tables
from reproduction.results import Found, numbers
from reproduction.tables import Cell, DataSet, Place, Table
from studygroup.analysis.convergence import SHARE, epochs_to
from studygroup.analysis.intervals import CONFIDENCE, FEWEST
from studygroup.analysis.transfer import Scores, ranks, remarks
from studygroup.task import CollaborativeLearning
from studygroup.training.config import Config

CONVERGENCE = "cgl-appendix-convergence"
EXPERIMENTS = ("cgl-table-2", "cgl-table-3")
"""Tables whose runs the appendix compares in speed."""
METHOD = "CGL"
_SIDE = (32, 32)  # of pictures, unless a setting says otherwise; no number of parameters depends on it here

Finds = Callable[[Table], Mapping[Place, Found]]
"""Returns the finished runs of a table's cells."""


def derive(
    table: Table, found: Mapping[Place, Found], *, config: Callable[[Cell], Config], finds: Finds
) -> dict[Place, Found]:
    """Return the numbers of cells that have no runs, each as one run whose only figure is the measure's.

    Args:
        table: any.
        found: the finished runs of its cells.
        config: returns the settings of a cell at the requested scale.
        finds: returns the finished runs of other tables.
    """
    following = _ranks(table, found) | _convergence(table, finds)
    for cell in table.cells.values():
        if cell.measure.counted is not None and cell.settings is not None and cell.data is not None:
            following[cell.place] = count(config(cell), cell.data, cell.measure.name)
    return {
        place: Found("", "", {0: {table.cells[place].measure.name: number}})
        for place, number in following.items()
    }


def derived_remarks(table: Table, found: Mapping[Place, Found], *, finds: Finds) -> list[str]:
    """Return the remarks below certain tables: whether structures transfer, how fast experiments converge."""
    said = _transfer_remarks(table, found) if table.ranks else []
    return said + (_convergence_remarks(finds) if table.id == CONVERGENCE else [])


def count(config: Config, data: DataSet, measure: str) -> float:
    """Return a measure that needs no training, for the settings of a cell on pictures."""
    side = config.get("image_size") or _SIDE
    # as text, which can be cached
    return _count(
        measure,
        json.dumps(config["recipe"]),
        json.dumps({"name": config["model"], "classes": data.classes, **config["model_options"]}),
        json.dumps([3, *side]),
        config["batch_size"],
    )


@functools.lru_cache(maxsize=2048)
def _count(measure: str, recipe: str, network: str, shape: str, rows: int) -> float:
    counted = MEASURES[measure].counted
    assert counted is not None
    return counted(_task(recipe, network, shape), meta_batch({"shape": json.loads(shape)}, rows))


@functools.lru_cache(maxsize=128)
def _task(recipe: str, network: str, shape: str) -> CollaborativeLearning:
    options: dict[str, Any] = json.loads(network)
    return build_task(method_of(json.loads(recipe)), network=options, form={"shape": json.loads(shape)})


def _scores(table: Table, row: str, found: Mapping[Place, Found]) -> Scores | None:
    """Return the numbers of a row's runs, one list per column; None if a column has none."""
    places = [(row, column) for column in table.columns]
    result = [numbers(table.cells[place].measure, found[place]) if place in found else [] for place in places]
    return result if all(result) else None


def _ranks(table: Table, found: Mapping[Place, Found]) -> dict[Place, float]:
    own: dict[Place, float] = {}
    for row, of in table.ranks.items():
        if (some := _scores(table, of, found)) is not None:
            own |= {(row, column): rank for column, rank in zip(table.columns, ranks(some), strict=True)}
    return own


def _transfer_remarks(table: Table, found: Mapping[Place, Found]) -> list[str]:
    """Describe the rank correlation of the rows of scores, and their spread compared with that of seeds."""
    rows = {
        row: dict(zip((f"structure {column}" for column in table.columns), some, strict=True))
        for row in table.ranks.values()
        if (some := _scores(table, row, found)) is not None
    }
    said = remarks(rows, confidence=CONFIDENCE, fewest=FEWEST)
    return (
        said if len(rows) > 1 else [*said, "Ranks want a run of each structure, their correlation both rows."]
    )


def speed(found: Found, *, share: float = SHARE) -> float | None:
    """Return the mean of one over `epochs_to` over the runs of a configuration; None where none has a curve."""
    counts = [
        epochs_to(run["curve"]["holdout"], share=share) for run in found.runs.values() if run.get("curve")
    ]
    return statistics.fmean(1 / count for count in counts) if counts else None


def speed_changes(table: Table, found: Mapping[Place, Found], *, share: float = SHARE) -> dict[str, float]:
    """Return by how much the method converges faster than the mean of all other columns, in percent, by row.

    Speed is one over epochs, mean over seeds: 100 x (its own / mean of the others - 1), above 0 where it is faster.
    Rows with a cell without a curve are left out.
    """
    result = {}
    for row in table.rows:
        speeds = [
            speed(found[row, column], share=share) if (row, column) in found else None
            for column in table.columns
        ]
        by_column = {
            column: one for column, one in zip(table.columns, speeds, strict=True) if one is not None
        }
        if len(by_column) == len(table.columns):
            own = by_column.pop(METHOD)
            result[row] = 100 * (own / statistics.fmean(by_column.values()) - 1)
    return result


def _experiments(finds: Finds) -> dict[str, float]:
    found: dict[str, float] = {}
    for table in (tables()[id] for id in EXPERIMENTS):
        found |= speed_changes(table, finds(table))
    return found


def _convergence(table: Table, finds: Finds) -> dict[Place, float]:
    found = _experiments(finds) if table.id == CONVERGENCE else {}
    if not found:
        return {}
    return {(METHOD, "lowest"): min(found.values()), (METHOD, "highest"): max(found.values())}


def _convergence_remarks(finds: Finds) -> list[str]:
    said = [
        f"Speed is one over the epochs until the students' mean hold-out accuracy first reaches {SHARE:.0%} of its "
        "final level (mean of the last fifth of the epochs), mean over seeds; "
        f"{METHOD} against the mean of the five others."
    ]
    found = _experiments(finds)
    if not found:
        return [*said, "No experiment has curves of all methods yet."]
    words = "; ".join(f"{row} {change:+.1f} %" for row, change in found.items())
    return [*said, f"{len(found)} of 7 experiments: {words}."]
