"""Several labels a picture: students teach each other label by label, the plain network beside them.

Pictures of CIFAR-100, 16 x 16 pixels, each with two of 24 labels: its class and the superclass of that class. The
argument is a folder with Parquet files of train and test rows, columns img, fine_label and coarse_label:

    hf download uoft-cs/cifar100 --repo-type dataset --local-dir cifar100
    python examples/multi_label.py cifar100/cifar100

Needs torch, pyarrow, Pillow and scipy. What hold-out pictures choose is scored on test pictures.
"""

import argparse
import io
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pyarrow.parquet
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

import studygroup as sg
from studygroup.analysis.intervals import paired_gain
from studygroup.objectives import BinaryCrossEntropy

SUPERCLASSES = 4  # of 20, with five classes each
LABELS = SUPERCLASSES * (1 + 5)
TRAIN, HELD_OUT = 40, 20  # pictures of each class


def read(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    """Return the pictures of the first superclasses and their labels.

    Returns:
        (rows, 3, 16, 16), and (rows, LABELS) of zeros and ones: superclasses first, then classes by number.
    """
    found = sorted(folder.glob(f"{part}*.parquet"))
    if not found:
        raise SystemExit(f"no {part}.parquet in {folder}; get CIFAR-100 as the head of this file says")
    columns = pyarrow.parquet.read_table(found[0], columns=["img", "fine_label", "coarse_label"])
    fine, coarse = (torch.tensor(columns[name].to_numpy()) for name in ("fine_label", "coarse_label"))
    chosen = (coarse < SUPERCLASSES).nonzero().flatten()
    files = columns["img"].take(chosen.tolist()).to_pylist()
    pixels = np.stack([np.array(Image.open(io.BytesIO(one["bytes"])).convert("RGB")) for one in files])
    pictures = F.avg_pool2d(torch.as_tensor(pixels).movedim(-1, 1) / 127.5 - 1, 2)
    numbers = fine[chosen].unique(return_inverse=True)[1]
    several = [F.one_hot(coarse[chosen], SUPERCLASSES), F.one_hot(numbers, LABELS - SUPERCLASSES)]
    return pictures, torch.cat(several, 1).float()


def draw(y: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Draw as many rows of each class to train on, and to choose the student by."""
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    rows = [order[y[order, label] == 1] for label in range(SUPERCLASSES, LABELS)]
    return torch.cat([some[:TRAIN] for some in rows]), torch.cat(
        [some[TRAIN : TRAIN + HELD_OUT] for some in rows]
    )


def network() -> nn.Module:
    """Build a small network: (rows, 3, 16, 16) to one logit for each label."""

    def block(width: int, out: int) -> list[nn.Module]:
        return [
            nn.Conv2d(width, out, 3, padding=1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]

    return nn.Sequential(
        *block(3, 16), *block(16, 32), *block(32, 64), nn.Flatten(), nn.Linear(64 * 4, LABELS)
    )


METHODS: dict[str, tuple[int, Callable[[], sg.CollaborativeLearning]]] = {
    "plain": (1, lambda: sg.recipes.baseline(network())),
    "plain, 3 x the epochs": (3, lambda: sg.recipes.baseline(network())),
    "dml, 3 students": (1, lambda: sg.recipes.dml(network(), init=network)),
    "self_distillation": (1, lambda: sg.recipes.self_distillation(network(), decay=0.98)),
}
"""Epochs, in multiples of the plain network's, and how the task is built."""


def fit(task: sg.CollaborativeLearning, x: Tensor, y: Tensor, *, epochs: int) -> None:
    """Train a task on pictures turned over at random."""
    optimiser = torch.optim.Adam(task.parameters(), lr=3e-3)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    task.train()
    for epoch in range(epochs):
        for rows in torch.randperm(len(x)).split(32):
            seen = torch.where(torch.rand(len(rows), 1, 1, 1) < 0.5, x[rows], x[rows].flip(-1))
            losses = task(seen, y[rows], progress=epoch / epochs)
            optimiser.zero_grad()
            losses.total.backward()
            optimiser.step()
        rate.step()
    task.eval()


def mean_average_precision(logits: Tensor, y: Tensor) -> float:
    """Return the mean over labels of average precision: the mean of the precision at the rank of each that is there.

    Args:
        logits: (rows, labels).
        y: zeros and ones of the same shape, at least one of each label.
    """
    there = y.gather(0, logits.argsort(0, descending=True)).double()
    precision = there.cumsum(0) / torch.arange(1, len(y) + 1)[:, None]
    return float(((precision * there).sum(0) / there.sum(0)).mean())


def main(folder: Path, seeds: Iterable[int], epochs: int = 8) -> dict[str, list[float]]:
    """Train every method with every seed on the same rows, and print the table."""
    (x, y), (test_x, test_y) = read(folder, "train"), read(folder, "test")
    found: dict[str, list[float]] = {name: [] for name in METHODS}
    seconds = dict.fromkeys(found, 0.0)
    for seed in seeds:
        train, held_out = draw(y, seed)
        for name, (times, build) in METHODS.items():
            begun = time.process_time()
            torch.manual_seed(seed)
            task = build().with_criterion(BinaryCrossEntropy())
            fit(task, x[train], y[train], epochs=times * epochs)
            with torch.no_grad():
                answers = task.shipped(x[held_out]).logits
                scores = [mean_average_precision(some, y[held_out]) for some in answers]
                net = task.shipped.export(student=scores.index(max(scores))).eval()
                found[name].append(mean_average_precision(net(test_x), test_y))
            seconds[name] += time.process_time() - begun
            print(f"seed {seed}, {name}: mAP {found[name][-1]:.2%}", flush=True)
    print("| method | mAP | - plain, 95 % | s a seed |\n|---|---|---|---|")
    for name, scores in found.items():
        gain = "" if name == "plain" else paired_gain(scores, found["plain"])
        mean = 100 * statistics.fmean(scores)
        print(f"| {name} | {mean:.1f} | {gain} | {seconds[name] / len(scores):.0f} |")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=range(3))
    parser.add_argument("--epochs", type=int, default=8, help="epochs of the plain network")
    given = parser.parse_args()
    main(given.folder, given.seeds, given.epochs)
