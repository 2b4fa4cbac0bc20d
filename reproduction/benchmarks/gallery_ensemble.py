"""An ensemble distilled into one network, with labelled rows alone and with rows that have no label."""

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
    digits,
    fit_task,
    network,
    once,
    plain,
)

REGIME, SETTING = Regime(), Setting()
UNLABELLED = 400  # rows without a label that a teacher may be asked about
ALPHAS, TEMPERATURES = (0.5, 1.0), (1.0, 2.0, 4.0)
TEACHERS = ("one network", "apart, ensemble", "dml, ensemble")


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


def groups(seed: int, rows: Rows) -> dict[str, sg.CollaborativeLearning]:
    """Train four networks that know nothing of each other, and four that teach each other."""
    torch.manual_seed(seed)
    four = sg.StudyGroup(network(), sg.routes.independent(students=4), init=network)
    apart = sg.CollaborativeLearning(four, [sg.objectives.Supervised()])
    fit_task(apart, *rows["train"], setting=SETTING, batch=REGIME.batch)
    torch.manual_seed(seed)
    dml = sg.recipes.dml(network(), students=4, temperature=3.0, scale_by_t2=True, init=network)
    return {"apart": apart, "dml": fit_task(dml, *rows["train"], setting=SETTING, batch=REGIME.batch)}


def averaged(group: sg.StudyGroup) -> nn.Module:
    """Return a network with the mean of the students' weights."""
    states = [group.export(student).state_dict() for student in range(group.students)]
    net = network()
    net.load_state_dict({key: torch.stack([state[key] for state in states]).mean(0) for key in states[0]})
    return net.eval()


def distilled(
    seed: int, teacher: nn.Module, rows: Rows, *, alpha: float, temperature: float, unlabelled: int
) -> nn.Module:
    """Train one network on the labelled rows and a teacher's answers; with other rows on the answers alone."""
    x, y = rows["train"]
    if unlabelled:
        x = torch.cat([x, rows["unused"][0][:unlabelled]])
        y = teacher(x).argmax(1)  # of no weight: alpha is 1
        assert alpha == 1
    torch.manual_seed(seed)
    task = sg.recipes.distillation(
        network(), teacher=teacher, example=x[:2], alpha=alpha, temperature=temperature
    )
    fit_task(task, x, y, setting=SETTING, batch=REGIME.batch)
    return task.group.export(0).eval()


def trials() -> Iterator[tuple[str, float, float, int]]:
    """Yield name, alpha, temperature and number of unlabelled rows of what the search tries."""
    for alpha in ALPHAS:
        for temperature in TEMPERATURES:
            yield f"labelled, alpha {alpha}, T = {temperature}", alpha, temperature, 0
    for temperature in TEMPERATURES:
        yield f"unlabelled, alpha 1.0, T = {temperature}", 1.0, temperature, UNLABELLED


def search_ensemble(seed: int) -> None:
    """Try weights and temperatures on the ensemble of networks that were trained apart."""
    rows = digits(seed, REGIME)
    x, y = (tensor[UNLABELLED:] for tensor in rows["unused"])
    teacher: nn.Module | None = None
    for name, alpha, temperature, unlabelled in trials():
        key = f"search | ensemble | {name}"
        if seed in CELLS.known().get(key, {}):
            continue
        teacher = teacher or MeanOfStudents(groups(seed, rows)["apart"].group).eval()
        net = distilled(seed, teacher, rows, alpha=alpha, temperature=temperature, unlabelled=unlabelled)
        CELLS.keep(key, seed, {"shipped": accuracies(net(x)[None], y)[0]})


def chosen(kind: str) -> tuple[str, float, float, int]:
    """Return the best trial of the search, with labelled rows alone or with others."""
    known = CELLS.known()
    found = [trial for trial in trials() if trial[0].startswith(kind)]

    def mean(trial: tuple[str, float, float, int]) -> float:
        return statistics.mean(run["shipped"] for run in known[f"search | ensemble | {trial[0]}"].values())

    return max(found, key=mean)


def ensemble(seed: int) -> None:
    """Score students, ensembles, mean weights and what the ensembles teach one network, on the test rows."""
    part = f"ensemble | {REGIME} | "
    x, y = (rows := digits(seed, REGIME))["test"]
    last = f"{part}{TEACHERS[-1]} distilled, unlabelled"
    if seed in CELLS.known().get(last, {}):
        return
    plain("ensemble", seed, REGIME, SETTING)
    plain("ensemble", seed, REGIME, Setting(240), name="plain, 240 epochs")
    plain("ensemble", seed, REGIME, Setting(smoothing=0.5), name="plain, smoothing")
    found = groups(seed, rows)
    teachers: dict[str, nn.Module] = {"one network": found["apart"].group.export(0).eval()}
    for name, task in found.items():
        held_x, held_y = rows["hold-out"]
        scores = accuracies(task.group(held_x).logits, held_y)
        each = accuracies(task.group(x).logits, y)
        teachers[f"{name}, ensemble"] = MeanOfStudents(task.group).eval()
        CELLS.keep(
            f"{part}{name}, best student by held-out rows", seed, {"shipped": each[scores.index(max(scores))]}
        )
        CELLS.keep(f"{part}{name}, mean of students", seed, {"shipped": statistics.mean(each)})
        average = accuracies(averaged(task.group)(x)[None], y)[0]
        CELLS.keep(f"{part}{name}, averaged weights", seed, {"shipped": average})
    for name in TEACHERS:
        CELLS.keep(f"{part}{name}", seed, {"shipped": accuracies(teachers[name](x)[None], y)[0]})
        for kind in ("labelled", "unlabelled"):
            once(f"{part}{name} distilled, {kind}", seed, partial(_taught, seed, teachers[name], rows, kind))


def _taught(seed: int, teacher: nn.Module, rows: Rows, kind: str) -> dict[str, float]:
    """Distil with the setting that the search chose, and score on the test rows."""
    _, alpha, temperature, unlabelled = chosen(kind)
    net = distilled(seed, teacher, rows, alpha=alpha, temperature=temperature, unlabelled=unlabelled)
    x, y = rows["test"]
    return {"shipped": accuracies(net(x)[None], y)[0]}
