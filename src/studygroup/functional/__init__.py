"""The mathematics: pure functions, each with its equation. The axis order is (students, rows, classes)."""

from studygroup.functional.deferred import deferred
from studygroup.functional.imitation import (
    Aggregate,
    Divergence,
    disagreement,
    diversity,
    imitation_loss,
    label_loss,
    masked_mean,
    mixed_answers,
    pairwise_loss,
    peer_targets,
)
from studygroup.functional.inner import linear_over_depth, pull_push
from studygroup.functional.kernels import kernel_decorrelation
from studygroup.functional.mixing import best_mixture, error_products, least_error_weights
from studygroup.functional.similarity import (
    Centre,
    Statistic,
    deviations,
    label_similarity,
    similarity_matrix,
)

__all__ = [
    "Aggregate",
    "Centre",
    "Divergence",
    "Statistic",
    "best_mixture",
    "deferred",
    "deviations",
    "disagreement",
    "diversity",
    "error_products",
    "imitation_loss",
    "kernel_decorrelation",
    "label_loss",
    "label_similarity",
    "least_error_weights",
    "linear_over_depth",
    "masked_mean",
    "mixed_answers",
    "pairwise_loss",
    "peer_targets",
    "pull_push",
    "similarity_matrix",
]
