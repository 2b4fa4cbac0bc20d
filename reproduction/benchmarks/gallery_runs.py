"""Rows, loops and scores of the gallery: digits, a small perceptron, and the same training for all networks."""

import dataclasses
import runpy
import statistics
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

import studygroup as sg
from reproduction.benchmarks.cells import Cells

CELLS = Cells(Path(__file__).parent / "results" / "gallery.json")
EXAMPLE = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "own_loop.py"))
TEST = EXAMPLE["TEST"]
network: Callable[[], nn.Module] = EXAMPLE["network"]
Rows = dict[str, tuple[Tensor, Tensor]]


def best_in_search(part: str, names: Iterable[str]) -> str:
    """Return the trial whose student was best in a part of the search, by the mean over the seeds that all have."""
    known = CELLS.known()
    found = {name: known.get(f"search | {part} | {name}", {}) for name in names}
    seeds = set.intersection(*(set(runs) for runs in found.values()))
    if not seeds:
        raise SystemExit(f"the search has not been run for {part}: say `search` first")
    return max(found, key=lambda name: statistics.mean(found[name][seed]["shipped"] for seed in seeds))


def dropout_network() -> nn.Module:
    """Build the network with dropout before its last two layers."""
    layers = list(network())
    return nn.Sequential(*layers[:4], nn.Dropout(0.5), *layers[4:6], nn.Dropout(0.5), *layers[6:])


@dataclasses.dataclass(frozen=True)
class Regime:
    """The rows to learn from, and the batch size.

    Attributes:
        labelled: number of rows to learn from.
        held_out: number of rows to choose the student by.
        wrong: share of wrong labels in percent.
        batch: rows per step.
    """

    labelled: int = 100
    held_out: int = 50
    wrong: int = 0
    batch: int = 16

    def __str__(self) -> str:
        held_out = f", {self.held_out} held out" if self.held_out != 50 else ""
        return f"{self.labelled} rows, {self.wrong} % wrong{held_out}"


@dataclasses.dataclass(frozen=True)
class Setting:
    """Settings of every network.

    Attributes:
        epochs: passes over the labelled rows.
        lr: Adam's initial rate, with a cosine schedule.
        smoothing: label smoothing.
        dropout: whether the plain network has dropout.
    """

    epochs: int = 60
    lr: float = 0.01
    smoothing: float = 0.0
    dropout: bool = False


def digits(seed: int, regime: Regime) -> Rows:
    """Deal out the rows of a seed; rows that are not labelled, held out or for the test keep their true labels."""
    images, labels = map(torch.as_tensor, load_digits(return_X_y=True))
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    draw = torch.Generator().manual_seed(seed)
    pool = order[TEST:][torch.randperm(len(order) - TEST, generator=draw)]
    sizes = [regime.labelled, regime.held_out, len(pool) - regime.labelled - regime.held_out]
    rows = dict(zip(("train", "hold-out", "unused"), pool.split(sizes), strict=True), test=order[:TEST])
    found = {name: (images[some].float() / 16, labels[some].clone()) for name, some in rows.items()}
    for name in ("train", "hold-out"):
        y = found[name][1]
        wrong = torch.randperm(len(y), generator=draw)[: round(regime.wrong / 100 * len(y))]
        y[wrong] = (y[wrong] + torch.randint(1, 10, (len(wrong),), generator=draw)) % 10
    return found


def fit(
    parameters: Iterator[nn.Parameter],
    loss: Callable[[Tensor, float], Tensor],
    rows: int,
    *,
    setting: Setting,
    batch: int,
) -> None:
    """Train with Adam and a cosine schedule; the loss is called with a step's row numbers and the progress."""
    optimiser = torch.optim.Adam(parameters, lr=setting.lr, fused=True)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, setting.epochs)
    for epoch in range(setting.epochs):
        for some in torch.randperm(rows).split(batch):
            value = loss(some, epoch / setting.epochs)
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
        rate.step()


def fit_plain(x: Tensor, y: Tensor, *, setting: Setting, batch: int) -> nn.Module:
    """Train the plain network without this library."""
    net = dropout_network() if setting.dropout else network()

    def loss(some: Tensor, progress: float) -> Tensor:
        return F.cross_entropy(net(x[some]), y[some], label_smoothing=setting.smoothing)

    fit(net.parameters(), loss, len(x), setting=setting, batch=batch)
    return net.eval()


def fit_task(
    task: sg.CollaborativeLearning, x: Tensor, y: Tensor, *, setting: Setting, batch: int
) -> sg.CollaborativeLearning:
    """Train a group; if students have their own rows, these are dealt in turn."""
    if setting.smoothing:
        task.with_criterion(sg.objectives.CrossEntropy(label_smoothing=setting.smoothing))
    subsets = isinstance(task.rows, sg.Subsets)
    owner = torch.randperm(len(x)) % task.group.students if subsets else None

    def loss(some: Tensor, progress: float) -> Tensor:
        owners = None if owner is None else owner[some]
        return task(x[some], y[some], owner=owners, progress=progress).total

    fit(task.parameters(), loss, len(x), setting=setting, batch=batch)
    return task.eval()


@torch.no_grad()
def accuracies(logits: Tensor, y: Tensor) -> list[float]:
    """Return the accuracy of logits (students, rows, classes), student by student."""
    shares: list[float] = (logits.argmax(-1) == y).double().mean(-1).tolist()
    return shares


@torch.no_grad()
def score(task: sg.CollaborativeLearning, rows: Rows, on: str) -> dict[str, float]:
    """Choose the student on the hold-out rows and score it, the students' mean and their ensemble on others."""
    held_x, held_y = rows["hold-out"]
    chosen = sg.student_to_ship(task, accuracies(task.shipped(held_x).logits, held_y))
    x, y = rows[on]
    logits = task.shipped(x).logits
    each = accuracies(logits, y)
    return {
        "shipped": each[chosen],
        "students_mean": statistics.mean(each),
        "ensemble": accuracies(logits.softmax(-1).mean(0, keepdim=True), y)[0],
    }


def once(name: str, seed: int, run: Callable[[], Mapping[str, float]]) -> None:
    """Run what the file lacks, and save it."""
    if seed in CELLS.known().get(name, {}):
        return
    torch.manual_seed(seed)
    begun = time.process_time()
    figures = run()
    CELLS.keep(name, seed, {**figures, "seconds": round(time.process_time() - begun, 3)})


def plain(
    part: str,
    seed: int,
    regime: Regime,
    setting: Setting,
    *,
    name: str = "plain",
    on: str = "test",
    with_held_out: bool = False,
) -> None:
    """Train and score the plain network, optionally also on the hold-out rows, which it does not need."""

    def run() -> dict[str, float]:
        rows = digits(seed, regime)
        parts = [rows["train"], *([rows["hold-out"]] if with_held_out else [])]
        x, y = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        net = fit_plain(x, y, setting=setting, batch=regime.batch)
        test_x, test_y = rows[on]
        return {"shipped": accuracies(net(test_x)[None], test_y)[0]}

    once(f"{part} | {regime} | {name}", seed, run)


def method(
    part: str,
    seed: int,
    regime: Regime,
    setting: Setting,
    name: str,
    make: Callable[[Tensor], sg.CollaborativeLearning],
    *,
    on: str = "test",
) -> None:
    """Train and score a method."""

    def run() -> dict[str, float]:
        rows = digits(seed, regime)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", sg.EqualStudentsWarning)
            task = make(rows["train"][0][:2])
            trained = fit_task(task, *rows["train"], setting=setting, batch=regime.batch)
        return score(trained, rows, on)

    once(f"{part} | {regime} | {name}", seed, run)
