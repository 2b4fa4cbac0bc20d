"""The claims of a table: which cells are compared, and which is claimed to be better.

A claim says that column `better` is better than column `than`, in each of `rows` (all, if omitted); of lists every
pair is compared, or, with `together: true`, one mean with the other. Or it says that the gain of the columns `gains`
over column `over` (each, if several) is larger in row `larger_at` than in row `than_at`. Or that counted numbers of
column `constant` are the same in the rows `among`. `by` is the difference that the text prints. A claim with none of
these cannot be tested by any cell.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reproduction.tables import Cell, Claim, Contrast, Place
from studygroup.training.config import Config

_KNOWN = {
    *("says", "note", "by"),
    *("better", "than", "rows", "together"),
    *("gains", "over", "larger_at", "than_at"),
    *("constant", "among"),
}


def claims(id: str, found: Sequence[Config], cells: Mapping[Place, Cell]) -> tuple[Claim, ...]:
    """Return the claims in a table's file.

    Raises:
        ValueError: a claim about unknown cells or with unknown keys, one difference for several comparisons, or
            numbers claimed to be constant that have a spread.
    """
    return tuple(_claim(id, claim, cells) for claim in found)


def _claim(id: str, claim: Config, cells: Mapping[Place, Cell]) -> Claim:
    strange = claim.keys() - _KNOWN
    if strange:
        raise ValueError(
            f"{id}: a claim has {', '.join(sorted(strange))}; it may have {', '.join(sorted(_KNOWN))}"
        )
    same = [*_constant(claim)]
    weights = [*same, *_better(claim, cells), *_gains(claim)]
    missing = [place for some in weights for place, _ in some if place not in cells]
    if missing:
        raise ValueError(
            f"{id}: the claim {claim['says']!r} is about {' | '.join(missing[0])!r}, which is no cell"
        )
    if "by" in claim and len(weights) != 1:
        raise ValueError(
            f"{id}: the claim {claim['says']!r} has one difference for {len(weights)} comparisons"
        )
    trained = [place for some in same for place, _ in some if cells[place].measure.counted is None]
    if trained:
        raise ValueError(
            f"{id}: the claim {claim['says']!r} is that {' | '.join(trained[0])!r} is constant, which only numbers "
            "that are counted can be"
        )
    contrasts = tuple(Contrast(some, claim.get("by"), equal=some in same) for some in weights)
    return Claim(claim["says"], contrasts, claim.get("note", ""))


Weights = tuple[tuple[Place, float], ...]


def _better(claim: Config, cells: Mapping[Place, Cell]) -> Iterator[Weights]:
    """Compare one column with another."""
    if "better" not in claim:
        return
    better, than = _listed(claim["better"]), _listed(claim["than"])
    for row in claim.get("rows", tuple(dict.fromkeys(row for row, _ in cells))):
        if claim.get("together", False):
            plus = [((row, column), 1 / len(better)) for column in better]
            yield (*plus, *(((row, column), -1 / len(than)) for column in than))
        else:
            yield from ((((row, a), 1.0), ((row, b), -1.0)) for a in better for b in than if a != b)


def _constant(claim: Config) -> Iterator[Weights]:
    """Compare each row's number with that of the row before."""
    if "constant" in claim:
        column = claim["constant"]
        yield from ((((b, column), 1.0), ((a, column), -1.0)) for a, b in itertools.pairwise(claim["among"]))


def _gains(claim: Config) -> Iterator[Weights]:
    """Compare a gain in one row with that in another."""
    for column in claim.get("gains", ()):
        for row, over in itertools.product(_listed(claim["than_at"]), _listed(claim["over"])):
            large = claim["larger_at"]
            yield (
                ((large, column), 1.0),
                ((large, over), -1.0),
                ((row, column), -1.0),
                ((row, over), 1.0),
            )


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
