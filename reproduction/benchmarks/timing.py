"""Time two things alternately, so that a busy machine slows both alike, and give their ratio with an interval."""

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import torch

Pair = tuple[tuple[float, float], ...]
"""(wall seconds, process seconds) of each thing in one turn."""


def in_turn(steps: Sequence[Callable[[], object]], *, turns: int) -> list[Pair]:
    """Time every step once per turn, after a warm-up turn."""
    for step in steps:
        step()
    return [tuple(_timed(step) for step in steps) for _ in range(turns)]


def ratios(pairs: Sequence[Pair], *, of: int, to: int) -> dict[str, Any]:
    """Median of the ratios of neighbours with a 95 % bootstrap interval, wall time and process time."""
    found = {}
    for i, name in enumerate(("wall", "process")):
        values = [pair[of][i] / pair[to][i] for pair in pairs]
        found[name] = {"median": median(values), "interval": _interval(values)}
    return found


def cell(found: dict[str, Any]) -> str:
    """Format a ratio for a table."""
    low, high = found["interval"]
    return f"{found['median']:.2f} ({low:.2f} to {high:.2f})"


def _timed(step: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    step()
    return time.perf_counter() - wall, time.process_time() - cpu


def _interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % bootstrap interval of the median."""
    draw = torch.Generator().manual_seed(0)
    known = torch.tensor(values)
    medians = known[torch.randint(len(known), (2000, len(known)), generator=draw)].median(1).values
    low, high = medians.quantile(torch.tensor([0.025, 0.975])).tolist()
    return low, high
