"""Fine-tuning of a pretrained network with few labels: students start from its weights, each with a head of its own.

A small ResNet learns the first 50 classes of CIFAR-100 at 16 x 16 pixels. Its stem and first stage are then frozen,
and the rest learns 20 other classes from ten pictures of each. The argument is a folder with Parquet files of train
and test rows, columns img and fine_label:

    hf download uoft-cs/cifar100 --repo-type dataset --local-dir cifar100
    python examples/fine_tuning.py cifar100/cifar100

Needs torch, pyarrow, Pillow and scipy. What hold-out pictures choose is scored on test pictures.
"""

import argparse
import copy
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
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import studygroup as sg
from studygroup.analysis.intervals import paired_gain
from studygroup.models import cifar_resnet8

BEFORE, NEW = range(50), range(50, 70)  # classes
TRAIN, HELD_OUT = 10, 10  # pictures of each new class
FROZEN = ("conv1", "bn1", "layer1")


def read(folder: Path, part: str, classes: range) -> TensorDataset:
    """Return the pictures of some classes (rows, 3, 16, 16) and their labels, from 0."""
    found = sorted(folder.glob(f"{part}*.parquet"))
    if not found:
        raise SystemExit(f"no {part}.parquet in {folder}; get CIFAR-100 as the head of this file says")
    columns = pyarrow.parquet.read_table(found[0], columns=["img", "fine_label"])
    labels = torch.tensor(columns["fine_label"].to_numpy())
    chosen = ((labels >= classes.start) & (labels < classes.stop)).nonzero().flatten()
    files = columns["img"].take(chosen.tolist()).to_pylist()
    pixels = np.stack([np.array(Image.open(io.BytesIO(one["bytes"])).convert("RGB")) for one in files])
    pictures = F.avg_pool2d(torch.as_tensor(pixels).movedim(-1, 1) / 127.5 - 1, 2)
    return TensorDataset(pictures, labels[chosen] - classes.start)


def draw(rows: TensorDataset, seed: int) -> tuple[TensorDataset, TensorDataset]:
    """Draw as many rows of each class to train on, and to choose the student by."""
    x, y = rows.tensors
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    by_class = [order[y[order] == label] for label in y.unique().tolist()]
    parts = [torch.cat([some[:TRAIN] for some in by_class])]
    parts += [torch.cat([some[TRAIN : TRAIN + HELD_OUT] for some in by_class])]
    train, held_out = (TensorDataset(x[part], y[part]) for part in parts)
    return train, held_out


def fit(task: sg.CollaborativeLearning, rows: TensorDataset, *, epochs: int, rate: float, batch: int) -> None:
    """Train a task on pictures turned over at random, in the mode that each of its parts is in."""
    optimiser = torch.optim.AdamW([p for p in task.parameters() if p.requires_grad], lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    each = batch // task.group.students if isinstance(task.rows, sg.Subsets) else batch
    loader = sg.student_loader(rows, task, batch_size=each, seed=torch.initial_seed())
    for epoch in range(epochs):
        for x, y, *owner in loader:
            x = torch.where(torch.rand(len(x), 1, 1, 1) < 0.5, x, x.flip(-1))
            losses = task(x, y, owner=owner[0] if owner else None, progress=epoch / epochs)
            optimiser.zero_grad()
            losses.total.backward()
            optimiser.step()
        schedule.step()


def pretrained(rows: TensorDataset, *, epochs: int) -> nn.Module:
    """Train a network on the classes from before."""
    torch.manual_seed(0)
    task = sg.recipes.baseline(cifar_resnet8(len(BEFORE)))
    fit(task, rows, epochs=epochs, rate=3e-3, batch=64)
    return task.shipped.export(0)


def network(trained: nn.Module) -> nn.Module:
    """Return a copy of a trained network with its first stages frozen and a new head."""
    net = copy.deepcopy(trained)
    net.fc = nn.Linear(net.fc.in_features, len(NEW))
    for name in FROZEN:  # frozen norms keep their statistics, too: every student takes over both
        net.get_submodule(name).requires_grad_(False).eval()
    return net


def heads_anew(task: sg.CollaborativeLearning) -> sg.CollaborativeLearning:
    """Draw the head of every student, so that copies of one network start apart."""
    for head in task.group.copies("fc"):
        head.reset_parameters()
    return task


METHODS: dict[str, tuple[int, Callable[[nn.Module], sg.CollaborativeLearning]]] = {
    "plain": (1, lambda net: sg.recipes.baseline(net)),
    "plain, 3 x the epochs": (3, lambda net: sg.recipes.baseline(net)),
    "dml, 3 students": (1, lambda net: heads_anew(sg.recipes.dml(net, init="copy"))),
    "cl_ilr, 3 branches": (
        1,
        lambda net: heads_anew(sg.recipes.cl_ilr(net, layers=["layer3", "fc"], init="copy")),
    ),
    "cgl, 4 paths": (
        1,
        lambda net: sg.recipes.cgl(net, layers=["layer2.0", "layer3.0"], students=4, init="copy"),
    ),
    "self_distillation": (1, lambda net: sg.recipes.self_distillation(net, decay=0.98)),
}
"""Epochs, in multiples of the plain network's, and how the task is built."""


def main(
    folder: Path,
    seeds: Iterable[int],
    *,
    epochs: int = 30,
    before: int = 6,
    rate: float = 3e-3,
    methods: Iterable[str] = tuple(METHODS),
) -> dict[str, list[float]]:
    """Pretrain once, fine-tune by every method with every seed on the same rows, and print the table."""
    begun = time.process_time()
    trained = pretrained(read(folder, "train", BEFORE), epochs=before)
    print(f"pretrained in {time.process_time() - begun:.0f} s", flush=True)
    rows, test = read(folder, "train", NEW), read(folder, "test", NEW)
    found: dict[str, list[float]] = {"from scratch": [], **{name: [] for name in methods}}
    held, seconds = dict.fromkeys(found, 0.0), dict.fromkeys(found, 0.0)
    for seed in seeds:
        train, held_out = draw(rows, seed)
        chosen, tested = DataLoader(held_out, batch_size=200), DataLoader(test, batch_size=500)
        for name in found:
            begun = time.process_time()
            torch.manual_seed(seed)
            times, build = METHODS.get(name, METHODS["plain"])
            net = cifar_resnet8(len(NEW)) if name == "from scratch" else network(trained)
            task = build(net)
            fit(task, train, epochs=times * epochs, rate=rate, batch=32)
            best = sg.best_student(task, chosen)
            held[name] += sg.accuracies(task, chosen)[best]
            found[name].append(sg.accuracies(task, tested)[best])
            seconds[name] += time.process_time() - begun
            print(f"seed {seed}, {name}: {found[name][-1]:.2%}", flush=True)
    print("| method | hold-out | test | - plain, 95 % | s a seed |\n|---|---|---|---|---|")
    for name, scores in found.items():
        gain = "" if name == "plain" else paired_gain(scores, found["plain"])
        mean, seen = 100 * statistics.fmean(scores), 100 * held[name] / len(scores)
        print(f"| {name} | {seen:.1f} | {mean:.1f} | {gain} | {seconds[name] / len(scores):.0f} |")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=range(5))
    parser.add_argument("--epochs", type=int, default=30, help="epochs of the plain network")
    parser.add_argument("--before", type=int, default=6, help="epochs of the network from before")
    parser.add_argument("--rate", type=float, default=3e-3, help="learning rate of fine-tuning")
    given = parser.parse_args()
    main(given.folder, given.seeds, epochs=given.epochs, before=given.before, rate=given.rate)
