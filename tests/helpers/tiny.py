"""Tiny networks and rows, small enough for loops in plain Python."""

import torch
from torch import nn

CLASSES = 3


def net(seed, *, width=5, norm=True):
    """In double precision, with running statistics that are not those of a fresh network."""
    torch.manual_seed(seed)
    made = nn.Sequential(
        nn.Linear(4, width), nn.BatchNorm1d(width) if norm else nn.Identity(), nn.ReLU(), nn.Linear(width, CLASSES)
    ).double()  # fmt: skip
    made(3 * torch.randn(20, 4).double())
    return made


def batches(*sizes, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return [
        (
            2 * torch.randn(n, 4, generator=draw, dtype=torch.float64),
            torch.randint(CLASSES, (n,), generator=draw),
        )
        for n in sizes
    ]


def answers(network, rows):
    """Logits of all rows as lists, and the labels, one row at a time."""
    network = network.eval()
    with torch.no_grad():
        found = [network(x[None])[0].tolist() for inputs, _ in rows for x in inputs]
    return found, [int(y) for _, labels in rows for y in labels]
