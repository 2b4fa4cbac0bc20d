"""Numbers of cells that no run of their own gives: counted, ranks of other cells, or made of other tables' runs."""

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

from reproduction.convergence import changes
from reproduction.counting import batch, built, method_of
from reproduction.measures import MEASURES
from reproduction.reading import tables
from reproduction.results import Found, numbers
from reproduction.tables import Cell, DataSet, Place, Table
from studygroup.analysis.transfer import Scores, ranks
from studygroup.task import CollaborativeLearning
from studygroup.training.config import Config

CONVERGENCE = "cgl-appendix-convergence"
EXPERIMENTS = ("cgl-table-2", "cgl-table-3")
"""Tables whose runs the appendix compares for their speed."""
_SIDE = (32, 32)  # of pictures, where no setting says so; no number of parameters hangs on it here

Finds = Callable[[Table], Mapping[Place, Found]]


def derived(
    table: Table, found: Mapping[Place, Found], *, config: Callable[[Cell], Config], finds: Finds
) -> dict[Place, Found]:
    """What is known of cells without runs of their own, each as one run whose only figure is the measure's.

    Args:
        table: any.
        found: the finished runs of its cells.
        config: the settings of a cell at the scale that is asked for.
        finds: the finished runs of other tables.
    """
    following = _ranks(table, found) | _speeds(table, finds)
    for cell in table.cells.values():
        if cell.measure.counted is not None and cell.settings is not None and cell.data is not None:
            following[cell.place] = count(config(cell), cell.data, cell.measure.name)
    return {
        place: Found("", {}, {0: {table.cells[place].measure.name: number}})
        for place, number in following.items()
    }


def count(config: Config, data: DataSet, measure: str) -> float:
    """A measure that nothing has to be trained for.

    Args:
        config: settings of a cell that is on pictures.
        data: of that cell.
        measure: its name.
    """
    side = config.get("image_size") or _SIDE
    # as text, which can be remembered
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
    return counted(_built(recipe, network, shape), batch({"shape": json.loads(shape)}, rows))


@functools.lru_cache(maxsize=128)
def _built(recipe: str, network: str, shape: str) -> CollaborativeLearning:
    options: dict[str, Any] = json.loads(network)
    return built(method_of(json.loads(recipe)), network=options, form={"shape": json.loads(shape)})


def scores(table: Table, row: str, found: Mapping[Place, Found]) -> Scores | None:
    """The numbers of a row's runs, one list a column; None where a column has none.

    Args:
        table: any.
        row: of that table.
        found: its finished runs.
    """
    result = []
    for column in table.columns:
        some = found.get((row, column))
        own = numbers(table.cells[row, column].measure, some) if some is not None else []
        if not own:
            return None
        result.append(own)
    return result


def _ranks(table: Table, found: Mapping[Place, Found]) -> dict[Place, float]:
    own: dict[Place, float] = {}
    for row, of in table.ranks.items():
        some = scores(table, of, found)
        if some is not None:
            own |= {(row, column): rank for column, rank in zip(table.columns, ranks(some), strict=True)}
    return own


def speeds(finds: Finds) -> dict[str, float]:
    """How much faster CGL converges than the others' mean, in percent, by experiment; see `convergence.changes`."""
    found: dict[str, float] = {}
    for table in (tables()[id] for id in EXPERIMENTS):
        found |= changes(table, finds(table))
    return found


def _speeds(table: Table, finds: Finds) -> dict[Place, float]:
    found = speeds(finds) if table.id == CONVERGENCE else {}
    if not found:
        return {}
    return {("CGL", "lowest"): min(found.values()), ("CGL", "highest"): max(found.values())}
