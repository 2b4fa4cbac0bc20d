"""What a student loses on one row, class by class, whoever teaches and however it listens."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Settings:
    """What a recipe is to compute: Σ_k [a CE_k + b D_k], and whom student k listens to."""

    hard: float = 1.0
    soft: float = 1.0
    temperature: float = 1.0
    divergence: str = "kl"
    aggregate: str = "logits"
    scale_by_t2: bool = False
    moves: bool = False
    reduction: str = "sum"
    teacher: str = "others"


def psi(z: Tensor, temperature: float = 1.0) -> Tensor:
    powers = [torch.exp(value / temperature) for value in z]
    return torch.stack([power / sum(powers) for power in powers])


def distance(q: Tensor, p: Tensor, divergence: str) -> Tensor:
    """KL(q ‖ p) or the cross-entropy, class by class."""
    terms = [a * ((a.log() if divergence == "kl" else 0) - b.log()) for a, b in zip(q, p, strict=True)]
    return sum(terms)


def soft(z: list[Tensor], k: int, label: int, weights: list[float], how: Settings) -> Tensor:
    """How far student k is from what it hears on one row, whose answers are `z`."""
    heard = [answer if how.moves else answer.detach() for answer in z]
    temperature, own = how.temperature, psi(z[k], how.temperature)
    if how.teacher == "min":
        weights = [1.0]
        heard = [torch.stack([min(h[c] - h[label] for h in heard) for c in range(len(own))])]
    elif how.teacher == "best":
        weights = [1.0]
        heard = [max(heard, key=lambda h: float(psi(h)[label]))]
    if not any(weights):
        return own.sum() * 0
    if how.aggregate == "divergences":
        pairs = [
            w * distance(psi(h, temperature), own, how.divergence)
            for w, h in zip(weights, heard, strict=True)
        ]
        value = sum(pairs)
    else:
        asked = sum(
            w * (h if how.aggregate == "logits" else psi(h, temperature))
            for w, h in zip(weights, heard, strict=True)
        )
        value = distance(psi(asked, temperature) if how.aggregate == "logits" else asked, own, how.divergence)
    return value * temperature**2 if how.scale_by_t2 else value
