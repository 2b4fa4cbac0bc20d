"""Table II of the intra-model paper with few rows: all columns, on a stand-in for STL-10.

STL-10 has 500 labelled rows per class. The stand-in takes as many of CIFAR-10, with the paper's optimiser for STL-10.
The learning rate of the plain network, and the weights of pull-push and of kernel decorrelation, which the paper
searched and does not print, are chosen first, on hold-out rows, with seeds that the table does not have.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from statistics import mean
from typing import Any

import torch

import studygroup as sg
from reproduction.gpu.budget import Clock
from reproduction.gpu.methods import Make
from reproduction.gpu.network import Network, full
from reproduction.gpu.pictures import Pictures
from reproduction.gpu.pool import Place, Pool
from reproduction.gpu.training import Descent, Recipe, Run
from studygroup.functional import Statistic

COLUMNS = (
    "baseline",
    "baseline(2x)",
    "out",
    "mid",
    "pull-push",
    "kernel",
    "out+mid+pull-push",
    "mid+pull-push+kernel",
)
RATES = (0.02, 0.05, 0.1)
PULL_PUSH: tuple[tuple[float, Statistic], ...] = (
    (0.001, "deviation"),
    (0.01, "deviation"),
    (0.1, "deviation"),
    (0.01, "flatten"),
    (0.1, "flatten"),
)
KERNEL = (0.001, 0.01, 0.1)
GRID_SEEDS, GRID_SHARE = (100, 101), 0.25


@dataclass(frozen=True)
class Weights:
    """The grid that the paper searched, or by which its plain network was tuned.

    Attributes:
        rate: learning rate at the start.
        pull_push: weight of the sum over layers.
        statistic: of the input, in pull-push.
        kernel: weight.
    """

    rate: float = 0.05
    pull_push: float = 0.01
    statistic: Statistic = "deviation"
    kernel: float = 0.01


@dataclass(frozen=True)
class Column:
    """One network of the table.

    Attributes:
        name: one of `COLUMNS`.
        seed: of weights, orders and augmentation.
        weights: of its parts.
        rows: of a step.
        width: of ResNet-18.
        precision: of autocast.
    """

    name: str
    seed: int
    weights: Weights
    rows: int = 128
    width: int = 32
    precision: torch.dtype = torch.bfloat16

    def run(self, pictures: Pictures) -> Run:
        """Return a new training, with the paper's optimiser for STL-10."""
        width = 2 * self.width if self.name.endswith("(2x)") else self.width
        network = full(classes=pictures.classes, width=width, pixels=pictures.images["train"].shape[-1])
        sgd = partial(torch.optim.SGD, momentum=0.9, weight_decay=5e-4)
        descent = Descent(sgd, rate=self.weights.rate, factor=0.2, milestones=(0.3, 0.6, 0.9))
        recipe = Recipe(self.rows, dtype=self.precision, seed=self.seed, descent=descent)
        return Run(task_of(self.name, self.weights), network, pictures, recipe)


def task_of(name: str, weights: Weights) -> Make:
    """Return the function that builds the task of one of `COLUMNS`, its parts weighted so."""

    def make(network: Network) -> sg.CollaborativeLearning:
        if name.startswith("baseline"):
            return sg.recipes.baseline(network.dropping())
        parts = name.split("+")
        return sg.recipes.intra(
            network.dropping(),
            example=network.example,
            out=1.0 * ("out" in parts),
            mid=1.0 * ("mid" in parts),
            pull_push=weights.pull_push * ("pull-push" in parts),
            kernel=weights.kernel * ("kernel" in parts),
            source_statistic=weights.statistic,
        )

    return make


def table(
    place: Place,
    seconds: float,
    write: Callable[[dict[str, Any]], None],
    *,
    seeds: Sequence[int] = (0, 1, 2),
    usual: Column = Column("baseline", 0, Weights()),
) -> dict[str, Any]:
    """Choose on hold-out rows, then train all columns with all seeds, in so many seconds.

    Columns share the settings of `usual`; `write` is given the part so far.

    Returns:
        The part of the result: `grid` and what was `chosen` by it, `table`.
    """
    clock = Clock(seconds)
    cells = [
        replace(usual, name=name, seed=seed, weights=weights)
        for name, weights in candidates(usual.weights)
        for seed in GRID_SEEDS
    ]
    part: dict[str, Any] = {"width": usual.width, "rows_a_step": usual.rows}

    def put(key: str, found: dict[str, Any], what: Sequence[Column]) -> None:
        part[key] = found | {"cells": {number: told(cell) for number, cell in enumerate(what)}}
        write(part)

    with Pool(place, max(len(cells), len(seeds) * len(COLUMNS))) as pool:
        grid = pool.train(cells, GRID_SHARE * seconds, lambda found: put("grid", found, cells))
        weights = chosen(cells, grid["results"], usual.weights)
        part["chosen"] = asdict(weights)
        final = [replace(usual, name=name, seed=seed, weights=weights) for seed in seeds for name in COLUMNS]
        pool.train(final, clock.left, lambda found: put("table", found, final))
    return part


def candidates(usual: Weights) -> list[tuple[str, Weights]]:
    """Return the trials of the grid: column and weights."""
    return [
        *(("baseline", replace(usual, rate=rate)) for rate in RATES),
        *(("pull-push", replace(usual, pull_push=w, statistic=of)) for w, of in PULL_PUSH),
        *(("kernel", replace(usual, kernel=w)) for w in KERNEL),
    ]


def chosen(cells: Sequence[Column], results: dict[int, Any], usual: Weights) -> Weights:
    """Return the weights whose column has the highest mean hold-out accuracy; if none was scored, the usual ones."""
    found: dict[str, dict[Weights, list[float]]] = {}
    for number, cell in enumerate(cells):
        if "holdout" in results.get(number, {}):
            own = found.setdefault(cell.name, {}).setdefault(cell.weights, [])
            own.append(results[number]["holdout"]["mean"])
    best = {name: max(tried, key=lambda w: mean(tried[w])) for name, tried in found.items()}
    pull_push = best.get("pull-push", usual)
    return Weights(
        rate=best.get("baseline", usual).rate,
        pull_push=pull_push.pull_push,
        statistic=pull_push.statistic,
        kernel=best.get("kernel", usual).kernel,
    )


def told(cell: Column) -> dict[str, Any]:
    """Return a result with the description of its cell."""
    return {"column": cell.name, "seed": cell.seed} | asdict(cell.weights)
