"""Figures of networks' answers, summed batch by batch without waiting for the device before the end."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from studygroup._engine.isolate import without_side_effects
from studygroup.functional.precision import single
from studygroup.inputs import Inputs, logits
from studygroup.shipping import right

Batches = Iterable[tuple[Inputs, Tensor]]
"""Network inputs and class indices (N,), where the networks' parameters lie. What is asked several times needs a
list, or something else that begins anew at every `iter`."""

Figures = Callable[[Float[Tensor, "students rows classes"], Int64[Tensor, " rows"]], Tensor]
"""Maps logits and labels of a batch to sums over its rows."""


@dataclass(frozen=True)
class Total:
    """Sums over all rows.

    Attributes:
        values: sums of the figures, in double precision where the device has it.
        rows: number of rows.
        bad: rows of each network on which a logit is infinite or not a number.
    """

    values: Tensor
    rows: int
    bad: Int64[Tensor, " students"]

    @property
    def mean(self) -> Tensor:
        """The figures' mean over the rows."""
        return self.values / self.rows

    def finite(self) -> "Total":
        """Return these sums if all logits are finite; waits for the device.

        Raises:
            ValueError: some logits are not finite; the message names the networks and counts the rows.
        """
        counts = {network: count for network, count in enumerate(self.bad.tolist()) if count}
        if counts:
            said = ", ".join(f"{count} for network {network}" for network, count in counts.items())
            raise ValueError(
                f"logits are infinite or not a number on some of the {self.rows} rows ({said}); nothing can be "
                "said of such a network: train it again, with a lower rate or a gradient clip"
            )
        return self


def summed(networks: Sequence[nn.Module], batches: Batches, figures: Figures) -> Total:
    """Run networks on all rows, in `eval`, without gradient or side effects, and sum figures of their answers.

    Args:
        networks: plain networks on one device; each returns logits (N, classes).
        batches: the rows.
        figures: computes the figures of a batch from logits in single precision at least.

    Raises:
        ValueError: no network, or no rows.
    """
    if not networks:
        raise ValueError("there is no network to ask; give at least one")
    values: list[Tensor] = []
    rows = 0
    with ExitStack() as stack:
        for network in networks:
            stack.enter_context(without_side_effects(network, training=False))
        for inputs, labels in batches:
            found = torch.stack([single(logits(network, inputs)) for network in networks])
            bad = (~torch.isfinite(found).all(-1)).sum(-1)
            values = _added(values, [wide(figures(found, labels)), bad])
            rows += len(labels)
    if not rows:
        raise ValueError(
            "there are no rows to ask for; give batches that are not empty, as a list if they are asked several times"
        )
    return Total(values[0], rows, values[1])


def fit_of(network: nn.Module, batches: Batches) -> Total:
    """Return cross-entropy and correct answers of one network: `values` has shape (2,).

    The network returns logits (N, classes). A row with a logit that is not a number counts as wrong.
    """
    return summed([network], batches, _fit)


def wide(values: Tensor) -> Tensor:
    """Return a tensor in double precision, except on devices that have none."""
    return values.double() if values.device.type != "mps" else values.float()


def _fit(scores: Tensor, labels: Tensor) -> Tensor:
    loss = F.cross_entropy(scores[0], labels, reduction="sum")
    return torch.stack([loss, right(scores[0], labels).sum().to(loss.dtype)])


def _added(sums: list[Tensor], more: list[Tensor]) -> list[Tensor]:
    return [old + new for old, new in zip(sums, more, strict=True)] if sums else more
