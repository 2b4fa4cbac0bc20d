"""Slices of the loss around the shipped network and between students (Li et al. 2018; Entezari et al. 2022)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from studygroup._engine.copying import duplicate
from studygroup.analysis.answers import Batches, fit_of
from studygroup.analysis.base import Found, LoadedNetworks, OfNetworks
from studygroup.analysis.flatness import move
from studygroup.analysis.pairs import pairs_of
from studygroup.seeding import generator

Prepare = Callable[[nn.Module], object]
"""Called with the network at each point before it is evaluated."""


@dataclass(frozen=True)
class Slice:
    """The loss along a straight path in parameter space.

    Attributes:
        at: points of the path, evenly spaced.
        loss: mean cross-entropy at each.
        accuracy: share of correct predictions at each, in [0, 1].
    """

    at: tuple[float, ...]
    loss: tuple[float, ...]
    accuracy: tuple[float, ...]

    @property
    def barrier(self) -> float:
        """Largest L(t) − [(1 − t) L(0) + t L(1)], for `at` from 0 to 1 (Entezari et al. 2022); 0 or more."""
        first, last = self.loss[0], self.loss[-1]
        straight = ((1 - t) * first + t * last for t in self.at)
        return max(loss - line for loss, line in zip(self.loss, straight, strict=True))


def filter_normalised(net: nn.Module, draw: torch.Generator) -> list[Tensor]:
    """Draw a random direction in which every filter has the norm of the network's own (Li et al. 2018, section 4).

    Each filter d_ij, the values at one index of the first axis, is drawn from a Gaussian and scaled to
    d_ij / ‖d_ij‖ · ‖θ_ij‖; a row of a linear layer counts as a filter. Biases and the scales and shifts of batch
    normalisation stay as they are, as in the authors' own commands (`biasbn`).

    Args:
        net: the network that gives shapes and norms.
        draw: random generator on the CPU.

    Returns:
        A change for each parameter, in their order.
    """
    return [_filters(parameter.detach(), draw) for parameter in net.parameters()]


def along_direction(
    net: nn.Module, direction: Sequence[Tensor], batches: Batches, *, at: Sequence[float], prepare: Prepare
) -> Slice:
    """Return the loss at θ + α d, on a copy of the network; buffers, running statistics too, stay as they are.

    Args:
        net: returns logits (N, classes).
        direction: d, a change for each parameter.
        batches: the rows, iterated once per point.
        at: the points α.
        prepare: called with the copy at each point, for example to re-estimate its statistics.

    Raises:
        ValueError: no rows, or a loss that is not finite.
    """
    moved = duplicate(net)
    return _slice(moved, partial(move, moved, net, direction), batches, at=at, prepare=prepare)


def between(
    first: nn.Module, last: nn.Module, batches: Batches, *, at: Sequence[float], prepare: Prepare
) -> Slice:
    """Return the loss at (1 − t) θ_a + t θ_b, on a copy.

    Reading:
        The ends have to be the two networks themselves, so running statistics are interpolated, too. In between they
        are those of neither network; `prepare` can re-estimate them.

    Args:
        first: network a.
        last: network b, of the same architecture.
        batches: the rows, iterated once per point.
        at: the points t, in [0, 1].
        prepare: called with the copy at each point.

    Raises:
        ValueError: networks of different shapes, no rows, or a loss that is not finite.
    """
    moved = duplicate(first)
    ends = [dict(net.state_dict(keep_vars=True)) for net in (first, last)]
    shapes = [{name: value.shape for name, value in end.items()} for end in ends]
    if shapes[0] != shapes[1]:
        wrong = sorted(n for n in shapes[0].keys() | shapes[1].keys() if shapes[0].get(n) != shapes[1].get(n))
        raise ValueError(
            f"the two networks differ in {len(wrong)} tensors, {wrong[0]!r} for one; a line leads only between "
            "networks of one architecture"
        )

    def place(point: float) -> None:
        for name, own in moved.state_dict(keep_vars=True).items():
            if own.is_floating_point():
                own.copy_(torch.lerp(ends[0][name], ends[1][name], point))  # exact at both ends

    return _slice(moved, place, batches, at=at, prepare=prepare)


def points(start: float, end: float, count: int) -> tuple[float, ...]:
    """Return evenly spaced numbers, both ends included.

    Raises:
        ValueError: fewer than two.
    """
    if count < 2:
        raise ValueError(f"points is {count}; give at least 2, an odd number to have the middle among them")
    return tuple(start + (end - start) * (step / (count - 1)) for step in range(count))


@torch.no_grad()
def _slice(
    moved: nn.Module,
    place: Callable[[float], None],
    batches: Batches,
    *,
    at: Sequence[float],
    prepare: Prepare,
) -> Slice:
    found = []
    for point in at:
        place(point)
        prepare(moved)
        found.append(fit_of(moved, batches).mean)
    loss, accuracy = torch.stack(found).T.tolist()
    bad = [point for point, value in zip(at, loss, strict=True) if not abs(value) < float("inf")]
    if bad:
        raise ValueError(
            f"the loss is infinite or not a number at {bad[0]:g} of the way from {at[0]:g} to {at[-1]:g}; "
            "give a shorter way, or networks whose weights are finite"
        )
    return Slice(tuple(at), tuple(loss), tuple(accuracy))


def _filters(parameter: Tensor, draw: torch.Generator) -> Tensor:
    change = torch.randn(parameter.shape, generator=draw).to(parameter)
    if parameter.ndim < 2:
        return torch.zeros_like(change)
    lengths = [value.flatten(1).norm(dim=1) for value in (parameter, change)]
    scale = (lengths[0] / lengths[1].clamp(min=torch.finfo(change.dtype).tiny)).view(
        -1, *[1] * (change.ndim - 1)
    )
    scaled: Tensor = change * scale
    return scaled


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

    def evaluate(self, networks: LoadedNetworks) -> Found:
        """Return losses and accuracies on all paths, and the height of the barriers between students.

        Raises:
            ValueError: a negative number of directions or pairs.
        """
        if min(self.directions, self.pairs) < 0:
            raise ValueError(
                f"directions is {self.directions} and pairs is {self.pairs}; give 0, which is none, or more"
            )
        around, lines = self._around(networks), self._lines(networks)
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
            "student": networks.student,
        }

    def _around(self, networks: LoadedNetworks) -> list[Slice]:
        net, at = networks.shipped, points(-self.reach, self.reach, self.points)
        drawn = (generator(self.seed, "landscape", number) for number in range(self.directions))
        ways = (filter_normalised(net, draw) for draw in drawn)
        prepare = networks.reestimate if self.reestimate_bn else _nothing
        return [along_direction(net, way, networks.batches, at=at, prepare=prepare) for way in ways]

    def _lines(self, networks: LoadedNetworks) -> dict[tuple[int, int], Slice]:
        """Return the slices by pair; none where there is one student, or no pair is asked for."""
        students = networks.students() if self.pairs else ()
        every = pairs_of(len(students)) if len(students) > 1 else []
        chosen = torch.randperm(len(every), generator=generator(self.seed, "landscape", "pairs"))[
            : self.pairs
        ]
        prepare = networks.reestimate if self.reestimate_bn else _nothing
        ways = {every[number]: points(0.0, 1.0, self.points) for number in sorted(chosen.tolist())}
        return {
            (a, b): between(students[a], students[b], networks.batches, at=at, prepare=prepare)
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
