"""What stands below some tables only: whether structures transfer, and how fast each experiment converges."""

from collections.abc import Callable, Mapping

from reproduction.convergence import METHOD
from reproduction.derived import CONVERGENCE, scores, speeds
from reproduction.results import Found
from reproduction.tables import Place, Table
from studygroup.analysis.convergence import SHARE
from studygroup.analysis.intervals import CONFIDENCE, FEWEST
from studygroup.analysis.transfer import remarks


def asides(
    table: Table, found: Mapping[Place, Found], *, finds: Callable[[Table], Mapping[Place, Found]]
) -> list[str]:
    """Remarks of this table alone, if it has any.

    Args:
        table: any.
        found: what is known of its cells.
        finds: what is known of the cells of other tables.
    """
    said = _transfer(table, found) if table.ranks else []
    return said + (_convergence(finds) if table.id == CONVERGENCE else [])


def _transfer(table: Table, found: Mapping[Place, Found]) -> list[str]:
    """Rank correlation of the rows of scores, and their spread beside that of seeds."""
    rows = {
        row: dict(zip((f"structure {column}" for column in table.columns), some, strict=True))
        for row in table.ranks.values()
        if (some := scores(table, row, found)) is not None
    }
    said = remarks(rows, confidence=CONFIDENCE, fewest=FEWEST)
    return (
        said if len(rows) > 1 else [*said, "Ranks want a run of each structure, their correlation both rows."]
    )


def _convergence(finds: Callable[[Table], Mapping[Place, Found]]) -> list[str]:
    said = [
        f"Speed is one over the epochs until the students' mean hold-out accuracy first reaches {SHARE:.0%} of its "
        "final level (mean of the last fifth of the epochs), mean over seeds; "
        f"{METHOD} against the mean of the five others."
    ]
    found = speeds(finds)
    if not found:
        return [*said, "No experiment has curves of all methods yet."]
    words = "; ".join(f"{row} {change:+.1f} %" for row, change in found.items())
    return [*said, f"{len(found)} of 7 experiments: {words}."]
