"""The measures of the tables: read from a finished run, or counted from a task that has only shapes."""

import statistics
from collections.abc import Callable, Mapping
from functools import partial
from operator import itemgetter
from typing import Any

import torch
from torch import nn

from reproduction.tables import Figures, Measure
from studygroup import models, recipes
from studygroup.analysis.cost import parameters, saved_bytes
from studygroup.analysis.sharing import layer_sharing
from studygroup.inputs import Inputs
from studygroup.objectives import Objective
from studygroup.ownership import Subsets
from studygroup.task import CollaborativeLearning
from studygroup.teachers import Teacher
from studygroup.training import methods
from studygroup.training.methods import Method

BATCHES = 16
"""Batches of the common size in the epoch whose cost CGL's appendix counts."""


def build_task(
    method: Method, *, network: Mapping[str, Any], form: Mapping[str, Any], seed: int = 0
) -> CollaborativeLearning:
    """Build a method on a network without numbers: on the device `meta`, which keeps only shapes.

    Args:
        method: as a run calls it.
        network: arguments of `studygroup.models.build`, such as `name`, `classes`, `channels`.
        form: facts of the rows, see `studygroup.data.form.Form`: `shape` of pictures, or `tokenizer` of texts.
        seed: of the run.
    """

    def new() -> nn.Module:
        with torch.device("meta"):
            return models.build(**network)

    return method(new(), seed, meta_batch(form), new)


def meta_batch(form: Mapping[str, Any], rows: int = 2) -> Inputs:
    """Return a batch without numbers, of the `form` that `build_task` takes."""
    if "tokenizer" in form:
        ids = torch.zeros(rows, form["tokenizer"]["length"], dtype=torch.long, device="meta")
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return torch.zeros(rows, *form["shape"], device="meta")


def method_of(recipe: Any) -> Method:
    """Return a recipe as a run calls it, without the parser, which is slow.

    Args:
        recipe: a name in `studygroup.recipes`, or `class_path` and `init_args`.
    """
    named: Mapping[str, Any] = {"class_path": recipe} if isinstance(recipe, str) else recipe
    make = methods.method(getattr(recipes, named["class_path"].rpartition(".")[2]))
    given = named.get("init_args", {}).items()
    # JSON has lists for tuples
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in given}
    return lambda model, seed, example, new: make(model, seed, example, new, **options)


def millions(task: CollaborativeLearning) -> float:
    """Return millions of parameters in training, including those that do not ship."""
    return parameters(task) / 1e6


def gigabytes(task: CollaborativeLearning, x: Inputs) -> float:
    """Return gigabytes that the forward pass of all students on all rows keeps for the backward pass.

    Each storage counts once. These are activations of float32, without losses, auxiliary heads, weights, gradients
    and the optimiser's state.
    """
    return saved_bytes(lambda: task.group(x).logits, ignore=task.group) / 1e9


def passes(task: CollaborativeLearning, *, peer: float = 1.0) -> float:
    """Return the cost of an epoch of `BATCHES` batches as CGL's appendix counts it, in passes forward and backward.

    Each of K students has N batches, or N / K with a sub-set of its own (more with an overlap); on these its peers
    answer, too. If all students see all rows, consulting one another costs nothing more. What students share, a trunk
    or the modules of a path, counts for each of them, as in print.

    Args:
        task: any.
        peer: cost of a peer's answer; in print, the same as a student's own pass.
    """
    students = task.group.students
    if not isinstance(task.rows, Subsets):
        return float(students * BATCHES)
    share = 1 / students + task.rows.overlap * (1 - 1 / students)
    consults = [one.consults(0) for one in task.teachers if isinstance(one, Teacher) and one.of is None]
    heard = float(sum(table.sum() for table in consults)) / students
    return students * share * BATCHES * (1 + peer * heard)


def passes_by_work(task: CollaborativeLearning) -> float:
    """Return `passes` with a peer's constant answer as a third: a forward pass; a backward one is twice as much."""
    moves = task.peers == "joint" or any(
        one.moves_teachers for one in task.objectives if isinstance(one, Objective)
    )
    return passes(task, peer=1.0 if moves else 1 / 3)


def sharing(task: CollaborativeLearning) -> float:
    """Return the share of layers that two students have in common, mean over pairs and layers, routed or not."""
    return statistics.fmean(layer_sharing(task.group.routes, task.group.export(0)).values())


def _of_task(
    number: Callable[[CollaborativeLearning], float], task: CollaborativeLearning, x: Inputs
) -> float:
    return number(task)


def _accuracy(run: Figures) -> float:
    return 100 * float(run["test"])


def _error(run: Figures) -> float:
    return 100 * (1 - float(run["test"]))


def _top5_error(run: Figures) -> float:
    return 100 * (1 - float(run["test_top5"]))


def _drop(run: Figures) -> float:
    return float(run["flatness"]["drop"])


def _seconds(run: Figures) -> float | None:
    spent: float | None = run.get("spent")
    return spent


def _accuracy_kept(run: Figures) -> float | None:
    """Return the share of the accuracy above chance that noise leaves; None where there is none to lose."""
    if "classes" not in run:
        return None
    flat, chance = run["flatness"], 1 / run["classes"]
    if flat["clean"] <= chance:
        return None
    noisy = flat["accuracy"][flat["sigmas"].index(flat["reference"])]
    return 100 * float((noisy - chance) / (flat["clean"] - chance))


# functions that have a name, so that tables reach other processes
_ALL = (
    Measure("accuracy", "%", 2, 1, _accuracy),
    Measure("error", "%", 2, -1, _error),
    Measure("top-5 error", "%", 2, -1, _top5_error),
    Measure("diversity", "L2 distance", 3, 1, itemgetter("diversity")),
    Measure("drop", "points", 2, -1, _drop, analysis="flatness"),
    Measure("accuracy kept", "% of that above chance", 1, 1, _accuracy_kept, analysis="flatness"),
    Measure("memory", "GB", 2, -1, itemgetter("memory"), counted=gigabytes),
    Measure("rows", "how many", 0, 1),
    Measure("rank", "of the structures", 0, -1, itemgetter("rank")),
    Measure("parameters", "millions", 2, -1, itemgetter("parameters"), counted=partial(_of_task, millions)),
    Measure("passes", "forward and backward", 1, -1, itemgetter("passes"), counted=partial(_of_task, passes)),
    Measure("sharing", "share of layers", 2, 1, itemgetter("sharing"), counted=partial(_of_task, sharing)),
    Measure(
        "work",
        "passes, a peer's constant answer a third",
        1,
        -1,
        itemgetter("work"),
        counted=partial(_of_task, passes_by_work),
    ),
    Measure("seconds", "s", 0, -1, _seconds),
    Measure("change", "%", 1, 1, itemgetter("change")),
)
MEASURES: Mapping[str, Measure] = {measure.name: measure for measure in _ALL}
"""All measures, by the names that the tables' files have."""
