"""What stands below some tables only: whether structures transfer, and how fast each experiment converges."""

import math
from collections.abc import Callable, Mapping

from studygroup.analysis.convergence import SHARE
from studygroup.papers.convergence import METHOD
from studygroup.papers.derived import CONVERGENCE, scores, speeds
from studygroup.papers.results import Found
from studygroup.papers.tables import Place, Table
from studygroup.papers.transfer import (
    Scores,
    chance_of_likeness,
    correlations,
    intervals,
    spread,
    spread_of_equals,
)
from studygroup.papers.verdicts import CONFIDENCE, FEWEST


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
    rows = {row: some for row in table.ranks.values() if (some := scores(table, row, found)) is not None}
    said = [_spread(row, some) for row, some in rows.items()]
    if len(rows) < 2:
        return [*said, "Ranks want a run of each structure, their correlation both rows."]
    first, second = rows.values()
    found_now = correlations(first, second)
    if any(math.isnan(one) for one in found_now):
        return [*said, "No rank correlation: the structures of a row are all equal."]
    words = [f"Spearman's rho {found_now[0]:.2f}", f"Kendall's tau {found_now[1]:.2f}"]
    fewest = min(len(one) for some in rows.values() for one in some)
    how = f"; no interval, which takes {FEWEST} seeds of each structure"
    if fewest >= FEWEST:
        ends = intervals(first, second, confidence=CONFIDENCE)
        words = [f"{word} [{low:.2f}, {high:.2f}]" for word, (low, high) in zip(words, ends, strict=True)]
        how = (
            f"; {CONFIDENCE:.0%} over seeds drawn again, {fewest} of each structure: what the luck of seeds does to "
            "these structures, not what others would give"
        )
    unrelated = chance_of_likeness(first, second)
    return [
        *said,
        f"Rank correlation of {' and '.join(rows)}: {', '.join(words)}{how}.",
        f"Of unrelated orders a share of {unrelated:.2g} has such a rho or a higher one (exact permutation test).",
    ]


def _spread(row: str, some: Scores) -> str:
    """Highest less lowest score, and what equal structures would have."""
    said = f"{row}: the structures span {spread(some):.2f} points"
    fewest = min(map(len, some))
    if fewest < 2:
        return f"{said}; with one seed of each they cannot be told from seeds."
    limit = spread_of_equals([one[:fewest] for one in some], confidence=CONFIDENCE)
    return (
        f"{said}; as many equal ones would stay below {limit:.2f} in {CONFIDENCE:.0%} of cases, by the deviation "
        f"over {fewest} seeds."
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
