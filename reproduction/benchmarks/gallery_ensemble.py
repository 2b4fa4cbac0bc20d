"""An ensemble distilled into one network, with labelled rows alone and with unlabelled rows."""

import statistics
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

import studygroup as sg
from reproduction.benchmarks.gallery_runs import (
    CELLS,
    Regime,
    Rows,
    Setting,
    accuracies,
    best_in_search,
    digits,
    fit_task,
    network,
    once,
    plain,
)

REGIME, SETTING = Regime(), Setting()
UNLABELLED = 400  # rows without a label that the teacher may use
ALPHAS, TEMPERATURES = (0.5, 1.0), (1.0, 2.0, 4.0)
SMOOTH = Setting(smoothing=0.5)
GROUPS = {"apart": SETTING, "dml": SETTING, "apart, smoothing": SMOOTH, "dml, smoothing": SMOOTH}
"""The groups, and how they are trained; in the search the plain network is best with smoothed labels."""


class MeanOfStudents(nn.Module):
    """The mean of the students' logits, as one network.

    Args:
        group: the students.
    """

    def __init__(self, group: sg.StudyGroup) -> None:
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (rows, classes)."""
        mean: Tensor = self.group(x).logits.mean(0)
        return mean


def trained(seed: int, rows: Rows, name: str) -> sg.CollaborativeLearning:
    """Train four separate networks, or four that teach each other."""
    torch.manual_seed(seed)
    if name.startswith("dml"):
        task = sg.recipes.dml(network(), students=4, temperature=3.0, scale_by_t2=True, init=network)
    else:
        four = sg.StudyGroup(network(), sg.routes.independent(students=4), init=network)
        task = sg.CollaborativeLearning(four, [sg.objectives.Supervised()])
    return fit_task(task, *rows["train"], setting=GROUPS[name], batch=REGIME.batch)


def averaged(group: sg.StudyGroup) -> nn.Module:
    """Return a network with the mean of the students' weights."""
    states = [group.export(student).state_dict() for student in range(group.students)]
    net = network()
    net.load_state_dict({key: torch.stack([state[key] for state in states]).mean(0) for key in states[0]})
    return net.eval()


def distilled(
    seed: int, teacher: nn.Module, rows: Rows, *, alpha: float, temperature: float, unlabelled: int
) -> nn.Module:
    """Train one network on the labelled rows and a teacher's answers; with unlabelled rows, on the answers alone."""
    x, y = rows["train"]
    if unlabelled:
        x = torch.cat([x, rows["unused"][0][:unlabelled]])
        y = teacher(x).argmax(1)  # without weight: alpha is 1
        assert alpha == 1
    torch.manual_seed(seed)
    task = sg.recipes.distillation(
        network(), teacher=teacher, example=x[:2], alpha=alpha, temperature=temperature
    )
    fit_task(task, x, y, setting=SETTING, batch=REGIME.batch)
    return task.group.export(0).eval()


def trials() -> Iterator[tuple[str, float, float, int]]:
    """Yield name, alpha, temperature and number of unlabelled rows of each trial of the search."""
    for alpha in ALPHAS:
        for temperature in TEMPERATURES:
            yield f"labelled, alpha {alpha}, T = {temperature}", alpha, temperature, 0
    for temperature in TEMPERATURES:
        yield f"unlabelled, alpha 1.0, T = {temperature}", 1.0, temperature, UNLABELLED


def search_ensemble(seed: int) -> None:
    """Try weights and temperatures on the ensemble of separately trained networks."""
    rows = digits(seed, REGIME)
    x, y = (tensor[UNLABELLED:] for tensor in rows["unused"])
    teacher: nn.Module | None = None
    for name, alpha, temperature, unlabelled in trials():
        key = f"search | ensemble | {name}"
        if seed in CELLS.known().get(key, {}):
            continue
        teacher = teacher or MeanOfStudents(trained(seed, rows, "apart").group).eval()
        net = distilled(seed, teacher, rows, alpha=alpha, temperature=temperature, unlabelled=unlabelled)
        CELLS.keep(key, seed, {"shipped": accuracies(net(x)[None], y)[0]})


def chosen(kind: str) -> tuple[str, float, float, int]:
    """Return the best trial of the search, with labelled rows alone or with unlabelled rows."""
    found = {trial[0]: trial for trial in trials() if trial[0].startswith(kind)}
    return found[best_in_search("ensemble", found)]


def ensemble(seed: int) -> None:
    """Score students, ensembles, mean weights and networks distilled from the ensembles, on the test rows."""
    rows = digits(seed, REGIME)
    for epochs in (SETTING.epochs, 4 * SETTING.epochs):
        more = f", {epochs} epochs" if epochs != SETTING.epochs else ""
        plain("ensemble", seed, REGIME, Setting(epochs), name=f"plain{more}")
        plain("ensemble", seed, REGIME, Setting(epochs, smoothing=0.5), name=f"plain, smoothing{more}")
    for name in GROUPS:
        _ensemble(seed, rows, name)


def _ensemble(seed: int, rows: Rows, name: str) -> None:
    """Score the results of one group, unless that is done."""
    part = f"ensemble | {REGIME} | "
    if seed in CELLS.known().get(f"{part}{name}, ensemble distilled, unlabelled", {}):
        return
    task = trained(seed, rows, name)
    teachers = {f"{name}, ensemble": MeanOfStudents(task.group).eval()}
    if name.startswith("apart"):
        teachers = {name.replace("apart", "one network"): task.group.export(0).eval()} | teachers
    (held_x, held_y), (x, y) = rows["hold-out"], rows["test"]
    scores = accuracies(task.group(held_x).logits, held_y)
    each = accuracies(task.group(x).logits, y)
    best = {"shipped": each[scores.index(max(scores))]}
    CELLS.keep(f"{part}{name}, best student by held-out rows", seed, best)
    CELLS.keep(f"{part}{name}, mean of students", seed, {"shipped": statistics.mean(each)})
    average = accuracies(averaged(task.group)(x)[None], y)[0]
    CELLS.keep(f"{part}{name}, averaged weights", seed, {"shipped": average})
    for said, teacher in teachers.items():
        CELLS.keep(f"{part}{said}", seed, {"shipped": accuracies(teacher(x)[None], y)[0]})
        for kind in ("labelled", "unlabelled"):
            once(f"{part}{said} distilled, {kind}", seed, partial(_taught, seed, teacher, rows, kind))


def _taught(seed: int, teacher: nn.Module, rows: Rows, kind: str) -> dict[str, float]:
    """Distil with the setting that the search chose, and score on the test rows."""
    _, alpha, temperature, unlabelled = chosen(kind)
    net = distilled(seed, teacher, rows, alpha=alpha, temperature=temperature, unlabelled=unlabelled)
    x, y = rows["test"]
    return {"shipped": accuracies(net(x)[None], y)[0]}
