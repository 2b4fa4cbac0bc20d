"""The mathematics: pure functions, each with its equation. Axis order (students, rows, classes)."""

from studygroup.functional.imitation import (
    Aggregate,
    Divergence,
    disagreement,
    diversity,
    imitation_loss,
    masked_mean,
    mixed_answers,
    pairwise_loss,
    peer_targets,
)

__all__ = [
    "Aggregate",
    "Divergence",
    "disagreement",
    "diversity",
    "imitation_loss",
    "masked_mean",
    "mixed_answers",
    "pairwise_loss",
    "peer_targets",
]
