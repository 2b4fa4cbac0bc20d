"""Slices of the loss around the shipped network and between students (Li et al. 2018; Entezari et al. 2022)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from studygroup.analysis.base import Finished, Found, OfNetworks
from studygroup.analysis.pairs import pairs_of
from studygroup.analysis.slices import Slice, along_direction, between, filter_normalised, points
from studygroup.seeding import generator


@dataclass(frozen=True, kw_only=True)
class Landscape(OfNetworks):
    """The loss around the shipped network along random directions, and on the lines between students.

    Attributes:
        split: rows to evaluate: those of the test set, or those held out of training.
        rows: number of rows to take, each class in proportion, always the same; omitted, all.
        points: number of points on each path, evenly spaced.
        reach: how far a random direction is followed to both sides; at 1 every filter has moved by its own length.
        directions: number of random directions.
        pairs: number of pairs of students, drawn by the seed where there are more.
        reestimate_bn: whether batch-norm statistics are re-estimated over the training rows at each point; otherwise
            random directions keep those of the shipped network, and lines interpolate them.
        seed: seed of directions and pairs.
    """

    points: int = 11
    reach: float = 1.0
    directions: int = 3
    pairs: int = 6
    reestimate_bn: bool = False
    seed: int = 0

    def of(self, finished: Finished) -> Found:
        """Return losses and accuracies on all paths, and the height of the barriers between students.

        Raises:
            ValueError: a negative number of directions or pairs.
        """
        if min(self.directions, self.pairs) < 0:
            raise ValueError(
                f"directions is {self.directions} and pairs is {self.pairs}; give 0, which is none, or more"
            )
        around, lines = self._around(finished), self._lines(finished)
        barriers = [way.barrier for way in lines.values()]
        return {
            "around": list(points(-self.reach, self.reach, self.points)),
            "directions": [_plain(way) for way in around],
            "line": list(points(0.0, 1.0, self.points)),
            "lines": [
                {"pair": list(pair), **_plain(way), "barrier": way.barrier} for pair, way in lines.items()
            ],
            "barrier": sum(barriers) / len(barriers) if barriers else None,
            "reestimated_bn": self.reestimate_bn,
            "student": finished.student,
        }

    def _around(self, finished: Finished) -> list[Slice]:
        net, at = finished.shipped, points(-self.reach, self.reach, self.points)
        drawn = (generator(self.seed, "landscape", number) for number in range(self.directions))
        ways = (filter_normalised(net, draw) for draw in drawn)
        prepare = finished.reestimate if self.reestimate_bn else _nothing
        return [along_direction(net, way, finished.batches, at=at, prepare=prepare) for way in ways]

    def _lines(self, finished: Finished) -> dict[tuple[int, int], Slice]:
        """Return the slices by pair; none where there is one student, or no pair is asked for."""
        students = finished.students() if self.pairs else ()
        every = pairs_of(len(students)) if len(students) > 1 else []
        chosen = torch.randperm(len(every), generator=generator(self.seed, "landscape", "pairs"))[
            : self.pairs
        ]
        prepare = finished.reestimate if self.reestimate_bn else _nothing
        ways = {every[number]: points(0.0, 1.0, self.points) for number in sorted(chosen.tolist())}
        return {
            (a, b): between(students[a], students[b], finished.batches, at=at, prepare=prepare)
            for (a, b), at in ways.items()
        }

    def table(self, found: Found) -> Sequence[tuple[str, ...]]:
        """Return losses on all paths, then the barriers."""
        rows: list[tuple[str, ...]] = [_head("loss on random direction", found["around"], "")]
        rows += [(str(k), *_losses(way), "") for k, way in enumerate(found["directions"])]
        rows.append(_head("loss between students", found["line"], "barrier"))
        rows += [
            ("{} and {}".format(*way["pair"]), *_losses(way), f"{way['barrier']:.3f}")
            for way in found["lines"]
        ]
        return rows if found["lines"] else rows[:-1]


def _nothing(net: nn.Module) -> None:
    """Leave a network as it is."""


def _plain(way: Slice) -> Found:
    return {"loss": list(way.loss), "accuracy": list(way.accuracy)}


def _head(name: str, at: Sequence[float], end: str) -> tuple[str, ...]:
    return (name, *(f"{point:.2g}" for point in at), end)


def _losses(way: Found) -> list[str]:
    return [f"{value:.3g}" for value in way["loss"]]
