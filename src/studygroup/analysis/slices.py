"""The loss along a straight path in parameter space: a random direction, or the line between two networks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from studygroup._engine.copying import duplicate
from studygroup.analysis.answers import Batches, fit_of

Prepare = Callable[[nn.Module], object]
"""What is done to a network that has been placed at a point, before it is asked."""


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

    def place(point: float) -> None:
        for own, parameter, change in zip(moved.parameters(), net.parameters(), direction, strict=True):
            torch.add(parameter, change, alpha=point, out=own)

    return _slice(moved, place, batches, at=at, prepare=prepare)


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
