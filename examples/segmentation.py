"""Segmentation: students of a small encoder-decoder teach each other pixel by pixel, the plain network beside them.

The picture shows fluorescent nuclei, 512 x 512 pixels, with masks drawn by hand. It is from the Data Science Bowl of
2018 (Caicedo et al., Nature Methods 2019) and ships with the package stardist, which is not imported:

    pip install --no-deps stardist
    python examples/segmentation.py

Needs torch, numpy, Pillow and scipy besides. What its hold-out areas choose is scored on test areas.
"""

import argparse
import importlib.util
import statistics
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

import studygroup as sg
from studygroup.analysis.intervals import paired_gain
from studygroup.objectives import CrossEntropy

CLASSES = ("background", "nucleus", "border")
IGNORED = 255  # the ring just outside a nucleus: on which side of the line it lies is a matter of opinion
AREA, SIDE, CROP = 128, 112, 48  # pixels: 16 pixels of the picture part any two areas
TRAIN, HELD_OUT, TEST = 2, 2, 8  # of 16 areas; masks are what is dear


def folder() -> Path:
    """Return the folder of stardist's pictures, which is found and not imported."""
    spec = importlib.util.find_spec("stardist")
    for place in (spec and spec.submodule_search_locations) or ():
        if (Path(place) / "data" / "images" / "mask2d.tif").is_file():
            return Path(place) / "data" / "images"
    raise SystemExit(
        "stardist's picture of nuclei, stardist/data/images/img2d.tif with mask2d.tif, was not found; get it by "
        "pip install --no-deps stardist"
    )


def labels_of(nuclei: Tensor) -> Tensor:
    """Return a class for each pixel: border is what lies within two pixels of a nucleus's edge.

    Args:
        nuclei: (height, width), the number of the nucleus, 0 outside.
    """
    lowest, highest = (_in_window(nuclei.float(), 5, sign) for sign in (-1, 1))
    border = (nuclei > 0) & ((lowest != nuclei) | (highest != nuclei))
    classes = (nuclei > 0).long() + border
    return classes.masked_fill((nuclei == 0) & (_in_window(nuclei.float(), 3, 1) > 0), IGNORED)


def _in_window(values: Tensor, size: int, sign: int) -> Tensor:
    """Return the highest (sign 1) or lowest (-1) value in a square around each pixel."""
    return sign * F.max_pool2d(sign * values[None, None], size, stride=1, padding=size // 2)[0, 0]


def areas(pictures: Path) -> tuple[Tensor, Tensor]:
    """Return all areas and their labels, (areas, 1, SIDE, SIDE) and (areas, SIDE, SIDE)."""
    picture, nuclei = (
        torch.as_tensor(np.array(Image.open(pictures / name)).astype("int64"))
        for name in ("img2d.tif", "mask2d.tif")
    )
    bright = (picture.float() + 1).log()
    x, y = (bright - bright.mean()) / bright.std(), labels_of(nuclei)
    corners = [(i, j) for i in range(0, len(x), AREA) for j in range(0, x.shape[1], AREA)]
    cut = [[some[i : i + SIDE, j : j + SIDE] for i, j in corners] for some in (x, y)]
    return torch.stack(cut[0])[:, None], torch.stack(cut[1])


def split(number: int, seed: int) -> dict[str, Tensor]:
    """Draw the areas with masks and those held out; the test areas are the same for every seed."""
    order = torch.randperm(number, generator=torch.Generator().manual_seed(0))
    pool = order[TEST:][torch.randperm(number - TEST, generator=torch.Generator().manual_seed(seed))]
    return {"train": pool[:TRAIN], "hold-out": pool[TRAIN : TRAIN + HELD_OUT], "test": order[:TEST]}


def _block(width: int, out: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(width, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU())


class Dilated(nn.Module):
    """Two convolutions beside a connection past them; students part before or after it, not inside."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, bias=False)
        self.norm, self.mix = nn.BatchNorm2d(width), _block(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return maps of the same size."""
        return x + self.mix(F.relu(self.norm(self.convolution(x))))


def network(width: int = 8) -> nn.Module:
    """Build an encoder-decoder: (rows, 1, height, width) to logits (rows, classes, height, width)."""
    layers = {
        "down": nn.Sequential(_block(1, width), nn.MaxPool2d(2), _block(width, 2 * width)),
        "middle1": Dilated(2 * width, 2),
        "middle2": Dilated(2 * width, 4),
        "up": nn.Sequential(nn.Upsample(scale_factor=2), _block(2 * width, width), _block(width, width)),
        "head": nn.Conv2d(width, len(CLASSES), 1),
    }
    return nn.Sequential(OrderedDict(layers))


METHODS: dict[str, tuple[int, Callable[[], sg.CollaborativeLearning]]] = {
    "plain": (1, lambda: sg.recipes.baseline(network())),
    "plain, 3 x the updates": (3, lambda: sg.recipes.baseline(network())),
    "dml, 3 students": (1, lambda: sg.recipes.dml(network(), init=network)),
    "cl_ilr, 3 decoders": (1, lambda: sg.recipes.cl_ilr(network(), layers=["up", "head"])),
    "cgl, 4 paths": (
        1,
        lambda: sg.recipes.cgl(
            network(), layers=["down", "middle1", "middle2", "up"], students=4, subsets=False
        ),
    ),
    "self_distillation": (1, lambda: sg.recipes.self_distillation(network(), decay=0.98)),
}
"""Updates, in multiples of the plain network's, and how the task is built."""


def crops(x: Tensor, y: Tensor, batch: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw square crops, turned over at random."""
    taken = []
    for _ in range(batch):
        area, i, j, turn = (
            int(torch.randint(most, (), generator=draw))
            for most in (len(x), SIDE - CROP + 1, SIDE - CROP + 1, 4)
        )
        axes = [axis for bit, axis in ((1, -1), (2, -2)) if turn & bit]
        taken.append([some[area, ..., i : i + CROP, j : j + CROP].flip(axes) for some in (x, y)])
    return torch.stack([one for one, _ in taken]), torch.stack([one for _, one in taken])


def fit(task: sg.CollaborativeLearning, x: Tensor, y: Tensor, *, updates: int, seed: int) -> None:
    """Train a task, with the updates of its averages, if it has any."""
    draw = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(task.parameters(), lr=0.01)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, updates)
    task.train()
    for update in range(updates):
        losses = task(*crops(x, y, 4, draw), progress=update / updates)
        optimiser.zero_grad()
        losses.total.backward()
        optimiser.step()
        rate.step()
    task.eval()


def mean_iou(predicted: Tensor, y: Tensor) -> tuple[float, list[float]]:
    """Return the mean over classes of intersection over union, and each class's, over all pixels with a label.

    Args:
        predicted: (areas, height, width), classes.
        y: the labels, of the same shape.
    """
    there = y != IGNORED
    pairs = torch.bincount(y[there] * len(CLASSES) + predicted[there], minlength=len(CLASSES) ** 2)
    pairs = pairs.view(len(CLASSES), -1).double()
    shared = pairs.diagonal()
    each = (shared / (pairs.sum(0) + pairs.sum(1) - shared)).tolist()
    return statistics.fmean(each), each


@torch.no_grad()
def shipped(task: sg.CollaborativeLearning, held_out: tuple[Tensor, Tensor]) -> nn.Module:
    """Return the plain network of the student that is best on the hold-out areas."""
    x, y = held_out
    scores = [mean_iou(logits.argmax(1), y)[0] for logits in task.shipped(x).logits]
    return task.shipped.export(student=scores.index(max(scores))).eval()


def train_one(name: str, parts: dict[str, tuple[Tensor, Tensor]], *, seed: int, updates: int) -> list[float]:
    """Train one method; return its mean and its three IoU on the test areas."""
    times, build = METHODS[name]
    torch.manual_seed(seed)
    task = build().with_criterion(CrossEntropy(ignore_index=IGNORED))
    fit(task, *parts["train"], updates=times * updates, seed=seed)
    x, y = parts["test"]
    with torch.no_grad():
        mean, each = mean_iou(shipped(task, parts["hold-out"])(x).argmax(1), y)
    return [mean, *each]


def report(found: dict[str, list[list[float]]], seconds: dict[str, float]) -> str:
    """Return a table: means over seeds in %, and the paired difference from the plain network with its interval."""
    lines = [f"| method | {' | '.join(CLASSES)} | mIoU | - plain, 95 % | s a seed |", "|---|" + "---|" * 6]
    plain = [score[0] for score in found["plain"]]
    for name, scores in found.items():
        means = [100 * statistics.fmean(some) for some in zip(*scores, strict=True)]
        gain = "" if name == "plain" else paired_gain([score[0] for score in scores], plain)
        cells = [f"{mean:.1f}" for mean in (*means[1:], means[0])]
        lines.append(f"| {' | '.join([name, *cells, gain, f'{seconds[name] / len(plain):.0f}'])} |")
    return "\n".join(lines)


def main(
    seeds: Iterable[int], updates: int = 100, methods: Iterable[str] = tuple(METHODS)
) -> dict[str, list[list[float]]]:
    """Train every method with every seed, and print the table."""
    x, y = areas(folder())
    found: dict[str, list[list[float]]] = {name: [] for name in methods}
    seconds = dict.fromkeys(found, 0.0)
    for seed in seeds:
        parts = {part: (x[some], y[some]) for part, some in split(len(x), seed).items()}
        for name in found:
            begun = time.process_time()
            found[name].append(train_one(name, parts, seed=seed, updates=updates))
            seconds[name] += time.process_time() - begun
            print(
                f"seed {seed}, {name}: mIoU, then IoU",
                *(f"{score:.2%}" for score in found[name][-1]),
                flush=True,
            )
    print(report(found, seconds))
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=range(5))
    parser.add_argument("--updates", type=int, default=100, help="updates of the plain network")
    given = parser.parse_args()
    main(given.seeds, given.updates)
