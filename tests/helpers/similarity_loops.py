"""The similarity matrix in plain Python loops, from the intra-model paper's equation 8."""

import math

import torch

N, D = 5, 4


def drawn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def flat(values):
    return [x for value in values for x in flat(value)] if isinstance(values, list) else [values]


def mean(values):
    return sum(values) / len(values)


def deviation(values):
    return math.sqrt(mean([(value - mean(values)) ** 2 for value in values]))


def vectors_by_loop(h, statistic="deviation"):
    """z of each row, from nested lists."""
    if statistic == "flatten":
        return [flat(row) for row in h]
    return [
        [values[0] if len(values := flat([channel])) == 1 else deviation(values) for channel in row]
        for row in h
    ]


def similarity_by_loop(z, centre="channels"):
    rows, width = len(z), len(z[0])
    if centre == "channels":
        z = [[value - mean(row) for value in row] for row in z]
    else:
        means = [mean([row[c] for row in z]) for c in range(width)]
        z = [[row[c] - means[c] for c in range(width)] for row in z]
    lengths = [math.sqrt(sum(value**2 for value in row)) for row in z]
    return [
        [sum(a * b for a, b in zip(z[i], z[j], strict=True)) / (lengths[i] * lengths[j]) for j in range(rows)]
        for i in range(rows)
    ]
