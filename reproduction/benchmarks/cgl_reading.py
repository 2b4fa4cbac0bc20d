"""Decide between readings of CGL's equation 4, one open point at a time, by hold-out rows, with few training rows.

Three regimes, small enough that a cell takes half a minute of one core: CIFAR-10 at 8 x 8 (1,200 rows, four blocks of
two convolutions), digits (400 rows, four fully connected layers), both with batch norm, and TREC (1,200 questions, a
small Transformer with layer norm and dropout). Adam, its rate halved at 30, 60 and 80 % of the epochs; 8 students, 2
modules per layer, 8 rows per student and step, 32 for the plain network. The hold-out rows are drawn from the
training rows; they alone decide between readings, and between the students of a run.

    python reproduction/benchmarks/cgl_reading.py --data FOLDER           # with cifar10 and trec in it, in Parquet
    python reproduction/benchmarks/cgl_reading.py --tables                # of finished cells

Finished cells (regime, variant, seed) are saved in results/cgl_reading.json and not repeated. Variants
differ from the reference in one thing; differences are paired by seed, with a 95 % interval of Student's t.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import studygroup as sg
from environment import environment, load, save
from studygroup import data as sgd
from studygroup.analysis.intervals import half_width
from studygroup.functional import diversity
from studygroup.models import text_transformer
from studygroup.objectives import Imitation, Supervised
from studygroup.seeding import generator

STUDENTS = 8


def convolutions(classes: int, *, channels: int, width: int) -> nn.Module:
    """Four blocks of two convolutions with batch norm, for pictures of 8 x 8."""

    def block(given: int, made: int, *, pool: bool) -> nn.Sequential:
        sizes = ((given, made), (made, made))
        layers = [
            (nn.Conv2d(*size, 3, padding=1, bias=False), nn.BatchNorm2d(made), nn.ReLU()) for size in sizes
        ]
        return nn.Sequential(*layers[0], *layers[1], nn.MaxPool2d(2) if pool else nn.Identity())

    return nn.Sequential(
        block(channels, width, pool=False),
        block(width, width, pool=True),
        block(width, 2 * width, pool=True),
        block(2 * width, 2 * width, pool=False),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        nn.Linear(2 * width, classes),
    )


def connected(classes: int, *, inputs: int, width: int) -> nn.Module:
    """Four fully connected layers with batch norm, and a classifier."""

    def block(given: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Flatten(), nn.Linear(given, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()
        )

    return nn.Sequential(
        *(block(given) for given in (inputs, width, width, width)), nn.Linear(width, classes)
    )


def transformer(data: sgd.Data) -> nn.Module:
    """Three blocks of 32 numbers a token."""
    sizes = {"embedding": 32, "hidden": 32, "heads": 2, "feed_forward": 64, "length": 24}
    return text_transformer(len(data.classes), **data.form.sizes, **sizes)


@dataclass(frozen=True)
class Regime:
    """Rows, a network and a schedule."""

    network: Callable[[sgd.Data], nn.Module]
    rows: int
    held: int
    epochs: int
    rate: float
    layers: tuple[str, ...] = ("0", "1", "2", "3")
    batch: int = 8
    augment: sgd.Augment = sgd.identity
    options: Mapping[str, Any] = field(default_factory=dict)


REGIMES = {
    "cifar10": Regime(
        lambda data: convolutions(len(data.classes), channels=3, width=12),
        rows=1200, held=4000, epochs=40, rate=3e-3, augment=sgd.PadCropFlip(padding=1),
        options={"image_size": 8, "test_rows": 4000},
    ),
    "digits": Regime(
        lambda data: connected(len(data.classes), inputs=64, width=64), rows=400, held=1000, epochs=60, rate=3e-3
    ),
    "trec": Regime(
        transformer, rows=1200, held=3000, epochs=20, rate=3e-3,
        layers=("embedding", "blocks.0", "blocks.1", "blocks.2"),
        options={"tokenizer": sgd.SentencePiece(vocabulary=1500, length=24)},
    ),
}  # fmt: skip

REFERENCE = "moved, T = 1, joint, fresh"
VARIANTS: dict[str, dict[str, Any]] = {
    REFERENCE: {},
    "pass: apart, batch statistics": {"peers": "train"},
    "plain network, as many epochs": {"plain": 1},
    "start: copies": {"init": "copy"},
    "peers: constant": {"peers_gradient": False},
    "T = 3": {"temperature": 3.0},
    "pass: apart, running statistics": {"peers": "eval"},
    "T = 3, constant, apart": {"temperature": 3.0, "peers_gradient": False, "peers": "train"},
    "T = 3, times T²": {"temperature": 3.0, "scale_by_t2": True},
    "p = 1": {"probability": 1.0},
    "T = 3 in targets alone": {"softened": 3.0},
    "plain network, 3 times the epochs": {"plain": 3},
}
PASSES = [REFERENCE, *(name for name in VARIANTS if name.startswith("pass"))]


class Softened(sg.teachers.RandomSubgroup):
    """A sub-group whose answer alone has the temperature: p_t(x; T) beside p_k(x; 1)."""

    def __init__(self, probability: float, *, temperature: float) -> None:
        super().__init__(probability)
        self.temperature = temperature

    def logits(self, answers: sg.Outputs, y: Tensor) -> Tensor:
        """Return logits over T."""
        return answers.logits / self.temperature


def build(regime: Regime, data: sgd.Data, seed: int, options: dict[str, Any]) -> sg.CollaborativeLearning:
    """Build the task of a variant."""
    new = partial(regime.network, data)
    model = new()
    if "plain" in options:
        return sg.recipes.baseline(model)
    defaults = {
        "peers": "joint", "peers_gradient": True, "temperature": 1.0, "scale_by_t2": False, "init": new,
    }  # fmt: skip
    own = {name: value for name, value in options.items() if name != "softened"}
    task = sg.recipes.cgl(model, layers=regime.layers, students=STUDENTS, seed=seed, **(defaults | own))
    if "softened" in options:
        imitation = Imitation(
            Softened(0.25, temperature=options["softened"]),
            weight=sg.schedules.ramp_up(0.0, 0.2),
            moves_teachers=True,
        )
        return sg.CollaborativeLearning(
            task.group, [Supervised(), imitation], rows=task.rows, peers=task.peers, seed=seed
        )
    return task


@cache
def rows_of(folder: Path, name: str, seed: int) -> sgd.Data:
    """Load the rows of a regime, hold-out beside them."""
    regime = REGIMES[name]
    spec = name if name == "digits" else folder / name
    rows = regime.rows + regime.held
    return sgd.load(spec, train_rows=rows, holdout=regime.held, seed=seed, **regime.options)


def batches(
    data: sgd.Data, regime: Regime, steps: sgd.EpochBatches, seed: int
) -> Iterator[tuple[Any, Tensor, Tensor | None]]:
    """Yield the batches of an epoch."""
    ready = data.form.ready(channels_last=False)
    for step, batch in enumerate(sgd.loader(data.train, steps)):
        draw = generator(seed, "augment", steps.epoch, step)
        yield ready(regime.augment(batch.inputs, generator=draw)), batch.labels, batch.owner


def train(
    task: sg.CollaborativeLearning, data: sgd.Data, regime: Regime, *, epochs: int, seed: int
) -> list[float]:
    """Trains, and gives the losses of labels and of imitation in the last epoch."""
    options: dict[str, Any] = {
        "seed": seed,
        "drop_last": True,
        "lengths": getattr(data.train, "lengths", None),
    }
    if task.group.students == 1:
        steps: sgd.EpochBatches = sgd.SharedBatches(len(data.train), batch_size=4 * regime.batch, **options)
    else:
        own = sgd.subsets(len(data.train), task.group.students, seed=seed)
        steps = sgd.StudentBatches(own, batch_size=regime.batch, **options)
    optimiser = torch.optim.Adam(task.parameters(), lr=regime.rate)
    marks = [round(epochs * share) for share in (0.3, 0.6, 0.8)]
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, marks, gamma=0.5)
    task.train()
    last = []
    for epoch in range(epochs):
        steps.set_epoch(epoch)
        last = []
        for x, y, owner in batches(data, regime, steps, seed):
            optimiser.zero_grad()
            losses = task(x, y, owner=owner, progress=epoch / epochs)
            losses.total.backward()
            optimiser.step()
            last.append((losses.supervised.mean().item(), losses.imitation.mean().item()))
        schedule.step()
    return [statistics.mean(column) for column in zip(*last, strict=True)]


@torch.no_grad()
def scores(task: sg.CollaborativeLearning, data: sgd.Data, split: sgd.Split) -> dict[str, Any]:
    """Accuracy in % of each student and of the mean of their probabilities, and their diversity."""
    ready = data.form.ready(channels_last=False)
    task.eval()
    found, labels = [], []
    for batch in sgd.loader(split, sgd.SharedBatches(len(split), batch_size=500, shuffle=False)):
        found.append(task.group(ready(batch.inputs)).logits.softmax(-1))
        labels.append(batch.labels)
    probabilities, y = torch.cat(found, 1), torch.cat(labels)
    right = (probabilities.argmax(-1) == y).double().mean(1) * 100
    ensemble = (probabilities.mean(0).argmax(-1) == y).double().mean() * 100
    return {
        "students": right.tolist(),
        "ensemble": float(ensemble),
        "diversity": float(diversity(probabilities)),
    }


def cell(name: str, variant: str, seed: int, folder: Path) -> dict[str, Any]:
    """One run."""
    regime, options = REGIMES[name], VARIANTS[variant]
    data = rows_of(folder, name, seed)
    torch.manual_seed(seed)
    task = build(regime, data, seed, options)
    epochs = regime.epochs * options.get("plain", 1)
    begin = time.process_time()
    losses = train(task, data, regime, epochs=epochs, seed=seed)
    seconds = time.process_time() - begin
    return {
        "regime": name, "variant": variant, "seed": seed, "losses": losses, "updates": task.step,
        "process_seconds": seconds, "train": scores(task, data, data.train)["students"],
        "holdout": scores(task, data, data.holdout), "test": scores(task, data, data.test),
    }  # fmt: skip


def figures(found: Mapping[str, Any]) -> dict[str, float]:
    """Return what a table shows of a cell; the student is chosen on the hold-out rows."""
    held, test = found["holdout"], found["test"]
    chosen = max(range(len(held["students"])), key=held["students"].__getitem__)
    return {
        "holdout": statistics.mean(held["students"]), "mean": statistics.mean(test["students"]),
        "best": test["students"][chosen], "ensemble": test["ensemble"], "diversity": test["diversity"],
        "train": statistics.mean(found["train"]), "seconds": found["process_seconds"], "updates": found["updates"],
    }  # fmt: skip


def table(name: str, cells: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Lines of a regime's table."""
    own = [c for c in cells if c["regime"] == name]
    by = {v: {c["seed"]: figures(c) for c in own if c["variant"] == v} for v in VARIANTS}
    reference = by[REFERENCE]
    yield f"\n**{name}**\n"
    yield (
        "| variant | n | hold-out, mean of students | over the reference | train, mean | test, mean | test, best by "
        "hold-out | test, ensemble | diversity | updates | CPU seconds |"
    )
    yield "|---" * 11 + "|"
    for variant, seeds in by.items():
        if seeds:
            column = lambda key, seeds=seeds: [one[key] for one in seeds.values()]
            shared = [seed for seed in seeds if seed in reference and variant != REFERENCE]
            over = gain([seeds[s]["holdout"] - reference[s]["holdout"] for s in shared])
            own_figures = [said(column(key)) for key in ("mean", "best", "ensemble")]
            yield (
                f"| {variant} | {len(seeds)} | {said(column('holdout'))} | {over} | "
                f"{statistics.mean(column('train')):.1f} | {' | '.join(own_figures)} | "
                f"{statistics.mean(column('diversity')):.2f} | {column('updates')[0]:,.0f} | "
                f"{statistics.median(column('seconds')):.0f} |"
            )


def said(values: Sequence[float]) -> str:
    """Mean ± sample deviation."""
    deviation = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{deviation}"


def gain(differences: Sequence[float]) -> str:
    """Mean of paired differences with the 95 % interval of Student's t."""
    if not differences:
        return ""
    mean, count = statistics.mean(differences), len(differences)
    if count == 1:
        return f"{mean:+.2f} (n=1)"
    half = half_width(differences, fewest=2)
    return f"{mean:+.2f} [{mean - half:+.2f}, {mean + half:+.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="a folder with cifar10 and trec")
    parser.add_argument("--regimes", nargs="+", default=list(REGIMES), choices=list(REGIMES))
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--more-seeds", type=int, nargs="*", default=[3, 4], help="of the ways of the pass")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tables", action="store_true", help="run nothing")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    wanted = [(r, v, s) for s in args.seeds for r in args.regimes for v in args.variants]
    wanted += [(r, v, s) for s in args.more_seeds for r in args.regimes for v in args.variants if v in PASSES]
    cells = load("cgl_reading").get("cells", [])
    done = {(c["regime"], c["variant"], c["seed"]) for c in cells}
    for regime, variant, seed in [] if args.tables else wanted:
        if (regime, variant, seed) not in done:
            if args.data is None:
                parser.error("--data FOLDER is needed to run cells")
            cells.append(cell(regime, variant, seed, args.data))
            save("cgl_reading", {"environment": environment(), "cells": cells})
    for name in args.regimes:
        print("\n".join(table(name, cells)))


if __name__ == "__main__":
    main()
