"""Sharpness-aware minimisation: two passes an update."""

from collections.abc import Callable
from typing import Any

import torch


class SharpnessAware(torch.optim.Optimizer):
    """Foret et al. 2021: up the gradient by ρ, and from there the step of another optimiser, at the old place."""

    def __init__(self, parameters, base, *, rho: float = 0.05, **options: Any) -> None:
        super().__init__(parameters, {"rho": rho, **options})
        self.base = base(self.param_groups, **options)

    @torch.no_grad()
    def climb(self) -> None:
        given = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.stack([p.grad.norm() for p in given]).norm()
        self.climbed = [(p, p.grad * self.param_groups[0]["rho"] / norm) for p in given]
        for parameter, away in self.climbed:
            parameter.add_(away)

    @torch.no_grad()
    def descend(self) -> None:
        for parameter, away in self.climbed:
            parameter.sub_(away)
        self.base.step()

    def step(self, closure: Callable[[], object]) -> None:
        self.climb()
        with torch.enable_grad():
            closure()
        self.descend()
