"""How fast configurations converge, beside one another (CGL, appendix)."""

import statistics
from collections.abc import Mapping

from reproduction.results import Found
from reproduction.tables import Place, Table
from studygroup.analysis.convergence import SHARE, epochs_to

METHOD = "CGL"


def speed(found: Found, *, share: float = SHARE) -> float | None:
    """Mean of one over `epochs_to` over the runs of a configuration; None where none has a curve.

    Args:
        found: its finished runs.
        share: of the final level.
    """
    counts = [
        epochs_to(run["curve"]["holdout"], share=share) for run in found.runs.values() if run.get("curve")
    ]
    return statistics.fmean(1 / count for count in counts) if counts else None


def changes(table: Table, found: Mapping[Place, Found], *, share: float = SHARE) -> dict[str, float]:
    """By how much the method converges faster than the mean of all other columns, in percent, by row.

    Speed is one over epochs, mean over seeds: 100 x (its own / mean of the others - 1), above 0 where it is faster.

    Args:
        table: with a column for the method and one for each other.
        found: its finished runs; rows with a cell without a curve are left out.
        share: of the final level.
    """
    result = {}
    for row in table.rows:
        speeds = {
            column: speed(found[row, column], share=share)
            for column in table.columns
            if (row, column) in found
        }
        others = [one for column, one in speeds.items() if column != METHOD and one is not None]
        own = speeds.get(METHOD)
        if own is not None and len(others) == len(table.columns) - 1:
            result[row] = 100 * (own / statistics.fmean(others) - 1)
    return result
