"""Measure what one network keeps of an ensemble's gain, distilled at the end of training, or averaged.

    python -m reproduction.benchmarks.one_network run --seeds 300 306 --regimes digits "digits, smoothing"
    python -m reproduction.benchmarks.one_network run --seeds 300 305 --regimes cifar10 --data FOLDER_OR_HUB_NAME
    python -m reproduction.benchmarks.one_network                     # the tables of all finished runs

Four students with one perceptron each, and the plain network, all with the same rows and the seed's initial
weights. Students and soups are chosen on hold-out rows; accuracies are those of test rows, which no choice has
seen. Settings were fixed beforehand: alpha 0.5 and T = 2 as by default in `distillation`, alpha 1 for unlabelled
rows, the last quarter of training, or a quarter more epochs at the rate with which that quarter begins. A finished
run is never repeated; several processes may share one file.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import studygroup as sg
import studygroup.data as sgd
from reproduction.benchmarks import gallery_runs
from reproduction.benchmarks.cells import Cells, Runs, over, spread
from reproduction.benchmarks.gallery_runs import Rows, Setting, accuracies, fit
from studygroup import objectives, recipes, teachers
from studygroup.models import mlp
from studygroup.training.computing import cpu_threads

CELLS = Cells(Path(__file__).parent / "results" / "one_network.json")
STUDENTS, LAST = 4, 0.25
LEAST = 3  # seeds of a table
TAUGHT = {"alpha": 0.5, "temperature": 2.0}
BASES = ("plain", "plain, 4 times as long", "the group's best student")


@dataclass(frozen=True)
class Regime:
    """The rows to learn from, and how networks learn.

    Attributes:
        network: builds a network.
        setting: epochs, rate and smoothing of every network.
        batch: rows per step.
        unlabelled: number of rows without a label.
    """

    network: Callable[[], nn.Module]
    setting: Setting
    batch: int
    unlabelled: int


def pictures_network() -> nn.Module:
    """Build the perceptron for coloured pictures of 8 x 8 pixels."""
    return mlp(10, channels=3, pixels=64)


REGIMES = {
    "digits": Regime(gallery_runs.network, Setting(), 16, 400),
    "digits, smoothing": Regime(gallery_runs.network, Setting(smoothing=0.5), 16, 400),
    "cifar10": Regime(pictures_network, Setting(epochs=30, lr=0.003), 32, 2000),
}
LABELLED, HELD_OUT, TEST = 1000, 500, 2000  # of CIFAR-10


def rows_of(name: str, seed: int, place: str) -> Rows:
    """Deal out the rows of a seed."""
    regime = REGIMES[name]
    if name.startswith("digits"):
        return gallery_runs.digits(seed, gallery_runs.Regime())
    given = LABELLED + HELD_OUT + regime.unlabelled
    data = sgd.load(place, train_rows=given, holdout=HELD_OUT, test_rows=TEST, seed=seed, image_size=8)
    ready, found = data.form.ready(channels_last=False), {}
    for part, split in (("train", data.train), ("hold-out", data.holdout), ("test", data.test)):
        images, labels = split[torch.arange(len(split))]
        found[part] = ready(images), labels
    x, y = found["train"]
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    first, rest = order.split([LABELLED, regime.unlabelled])
    return found | {"train": (x[first], y[first]), "unused": (x[rest], y[rest])}


def learn(task: sg.CollaborativeLearning, x: Tensor, y: Tensor, regime: Regime, setting: Setting) -> None:
    """Train a task on rows that all students see."""
    criterion = objectives.CrossEntropy(label_smoothing=setting.smoothing)
    task.with_criterion(criterion).train()

    def loss(some: Tensor, progress: float) -> Tensor:
        return task(x[some], y[some], progress=progress).total

    fit(task.parameters(), loss, len(x), setting=setting, batch=regime.batch)
    task.eval()


def shorter(setting: Setting, share: float, *, last: bool = False) -> Setting:
    """Return a setting with a share of the epochs, and the rate at which the last such share of its cosine begins."""
    rate = (1 + math.cos(math.pi * (1 - share))) / 2 if last else 1.0
    return Setting(round(share * setting.epochs), lr=rate * setting.lr, smoothing=setting.smoothing)


def late(progress: float) -> float:
    """Return the weight: 0 before the last part of training."""
    return float(progress >= 1 - LAST)


def group_of(kind: str, regime: Regime, *, towards_mean: bool) -> sg.CollaborativeLearning:
    """Build four students, separate or in mutual learning, which may imitate the mean of all in the end."""
    network = regime.network
    if kind == "dml":
        task = recipes.dml(network(), students=STUDENTS, temperature=3.0, scale_by_t2=True, init=network)
    else:
        four = sg.StudyGroup(network(), sg.routes.independent(students=STUDENTS), init=network)
        task = sg.CollaborativeLearning(four, [objectives.Supervised()])
    if not towards_mean:
        return task
    mean = objectives.Imitation(
        teachers.MeanOfOthers(include_self=True),
        temperature=TAUGHT["temperature"],
        aggregate="probabilities",
        scale_by_t2=True,
        weight=late,
        name="towards_mean",
    )
    terms = [*(one for one in task.objectives if isinstance(one, objectives.Objective)), mean]
    return sg.CollaborativeLearning(task.group, terms)


def figures(task: sg.CollaborativeLearning, rows: Rows) -> tuple[int, dict[str, float]]:
    """Choose the student on hold-out rows; score it, the students' mean and the ensemble on test rows."""
    (held_x, held_y), (x, y) = rows["hold-out"], rows["test"]
    with torch.no_grad():
        best = sg.student_to_ship(task, accuracies(task.shipped(held_x).logits, held_y))
        each = accuracies(task.shipped(x).logits, y)
        together = accuracies(sg.ensemble(task)(x)[None], y)[0]
    return best, {"shipped": each[best], "students_mean": statistics.mean(each), "ensemble": together}


def of_network(net: nn.Module, rows: Rows) -> dict[str, float]:
    """Score a plain network on test rows."""
    x, y = rows["test"]
    with torch.no_grad():
        return {"shipped": accuracies(net.eval()(x)[None], y)[0]}


def plain(regime: Regime, rows: Rows, times: float) -> nn.Module:
    """Train the plain network without this library."""
    net, (x, y) = regime.network(), rows["train"]

    def loss(some: Tensor, progress: float) -> Tensor:
        return F.cross_entropy(net(x[some]), y[some], label_smoothing=regime.setting.smoothing)

    fit(net.parameters(), loss, len(x), setting=shorter(regime.setting, times), batch=regime.batch)
    return net.eval()


def taught(net: nn.Module, teacher: nn.Module, regime: Regime, rows: Rows, *, how: str) -> nn.Module:
    """Continue training one network: on labels and the ensemble's answers, on these alone, or on labels alone."""
    x, y = rows["train"]
    if how == "unlabelled":
        x = torch.cat([x, rows["unused"][0][: regime.unlabelled]])
        y = torch.zeros(len(x), dtype=torch.int64)  # without weight: alpha is 1
    alpha = {"labelled": TAUGHT["alpha"], "unlabelled": 1.0, "labels alone": 0.0}[how]
    task = recipes.distillation(
        net, teacher=teacher, example=x[:2], alpha=alpha, temperature=TAUGHT["temperature"]
    )
    learn(task, x, y, regime, shorter(regime.setting, LAST, last=True))
    return task.group.export(0)


def in_own_order(net: nn.Module, regime: Regime, rows: Rows) -> sg.CollaborativeLearning:
    """Train four copies of a network for half the epochs, each on all rows in its own order."""
    group = sg.StudyGroup(net, sg.routes.independent(students=STUDENTS), init="copy")
    task = sg.CollaborativeLearning(group, [objectives.Supervised()], rows=sg.Subsets(overlap=1.0))
    task.with_criterion(objectives.CrossEntropy(label_smoothing=regime.setting.smoothing)).train()
    (x, y), setting = rows["train"], shorter(regime.setting, 0.5)
    optimiser = torch.optim.Adam(task.parameters(), lr=setting.lr, fused=True)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, setting.epochs)
    for _ in range(setting.epochs):
        orders = torch.stack([torch.randperm(len(x)) for _ in range(STUDENTS)])
        for some in orders.split(regime.batch, dim=1):
            owner = torch.arange(STUDENTS).repeat_interleave(some.shape[1])
            optimiser.zero_grad()
            task(x[some.flatten()], y[some.flatten()], owner=owner).total.backward()
            optimiser.step()
        rate.step()
    return task.eval()


def cells(regime: Regime, rows: Rows, seed: int) -> Iterator[tuple[str, Mapping[str, float]]]:
    """Yield name and figures of everything trained with one seed."""
    for times in (1, 4):
        torch.manual_seed(seed)
        yield (
            f"plain{', 4 times as long' if times == 4 else ''}",
            of_network(plain(regime, rows, times), rows),
        )
    for kind in ("apart", "dml"):
        torch.manual_seed(seed)
        task = group_of(kind, regime, towards_mean=False)
        learn(task, *rows["train"], regime, regime.setting)
        best, found = figures(task, rows)
        teacher, network = sg.ensemble(task), task.shipped.export(best)
        yield f"{kind}, best student", found
        yield f"{kind}, ensemble", of_network(teacher, rows)
        yield from soups(kind, task, rows)
        for how in ("labels alone", "labelled", "unlabelled"):
            torch.manual_seed(seed)
            said = "then labels alone" if how == "labels alone" else f"then taught by the ensemble, {how}"
            yield f"{kind}, {said}", of_network(taught(network, teacher, regime, rows, how=how), rows)
        torch.manual_seed(seed)
        task = group_of(kind, regime, towards_mean=True)
        learn(task, *rows["train"], regime, regime.setting)
        yield f"{kind}, towards the mean at the end", figures(task, rows)[1]
    torch.manual_seed(seed)
    task = in_own_order(plain(regime, rows, 0.5), regime, rows)
    yield "one start, best student", figures(task, rows)[1]
    yield "one start, ensemble", of_network(sg.ensemble(task), rows)
    yield from soups("one start", task, rows)


def soups(kind: str, task: sg.CollaborativeLearning, rows: Rows) -> Iterator[tuple[str, Mapping[str, float]]]:
    """Yield the averages of a group's weights."""
    networks = [task.shipped.export(student) for student in range(STUDENTS)]
    yield f"{kind}, uniform soup", of_network(sg.uniform_soup(networks), rows)
    soup = sg.greedy_soup(task, [rows["hold-out"]])
    yield f"{kind}, greedy soup", of_network(soup.network, rows) | {"in_soup": len(soup.students)}


LAST_CELL = "one start, greedy soup"


def run(name: str, seed: int, place: str) -> None:
    """Run all of one regime and seed, unless it is finished."""
    if seed in CELLS.known().get(f"{name} | {LAST_CELL}", {}):
        return
    begun = time.process_time()
    rows = rows_of(name, seed, place)
    found = dict(cells(REGIMES[name], rows, seed))
    for cell, values in found.items():
        CELLS.keep(f"{name} | {cell}", seed, values)
    print(f"{name}, seed {seed}: {time.process_time() - begun:.0f} s", flush=True)


def table(name: str, runs: Mapping[str, Runs]) -> str:
    """Return a regime's table: accuracy, and differences of the same seed."""
    heads = [name, "n", "accuracy", *(f"over {base}" for base in BASES)]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for cell, own in runs.items():
        best = runs.get(f"{cell.partition(',')[0]}, best student")
        against = [runs[BASES[0]], runs[BASES[1]], best]
        row = ["" if base is None or base is own else over(own, base, "shipped") for base in against]
        lines.append(f"| {' | '.join([cell, str(len(own)), spread(own, 'shipped'), *row])} |")
    return "\n".join(lines)


def tables() -> dict[str, str]:
    """Return the tables of all finished runs, by regime; none for fewer than three seeds."""
    found: dict[str, dict[str, Runs]] = {}
    for key, runs in CELLS.known().items():
        name, _, cell = key.partition(" | ")
        found.setdefault(name, {})[cell] = runs
    return {name: table(name, runs) for name, runs in found.items() if min(map(len, runs.values())) >= LEAST}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", nargs="?", choices=["run"])
    parser.add_argument("--seeds", type=int, nargs=2, default=(300, 302), metavar=("FIRST", "BEHIND_LAST"))
    parser.add_argument("--regimes", nargs="+", choices=[*REGIMES], default=["digits"])
    parser.add_argument(
        "--data", default="uoft-cs/cifar10", help="CIFAR-10, as studygroup.data.load takes it"
    )
    args = parser.parse_args()
    if not args.part:
        print("\n\n".join(tables().values()))
        return
    with cpu_threads(1):
        for seed in range(*args.seeds):
            for name in args.regimes:
                run(name, seed, args.data)


if __name__ == "__main__":
    main()
