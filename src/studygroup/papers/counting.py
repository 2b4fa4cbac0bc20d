"""What can be counted of a method without training it: a task is built without numbers, and looked at."""

import statistics
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from studygroup import models, recipes
from studygroup.analysis.cost import parameters, saved_bytes
from studygroup.analysis.sharing import layer_sharing
from studygroup.collaborate import CollaborativeLearning, Subsets
from studygroup.inputs import Inputs
from studygroup.training import methods
from studygroup.training.methods import Method

BATCHES = 16
"""Batches of the common size in the epoch whose cost CGL's appendix counts."""


def built(
    method: Method, *, network: Mapping[str, Any], form: Mapping[str, Any], seed: int = 0
) -> CollaborativeLearning:
    """A method on a network, shapes alone: on the device `meta`, where no number is kept.

    Args:
        method: as a run calls it.
        network: arguments of `studygroup.models.build`, such as `name`, `classes`, `channels`.
        form: facts of the rows, see `studygroup.data.form.Form`: `shape` of pictures, or `tokenizer` of texts.
        seed: of the run.
    """

    def new() -> nn.Module:
        with torch.device("meta"):
            return models.build(**network)

    return method(new(), seed, batch(form), new)


def batch(form: Mapping[str, Any], rows: int = 2) -> Inputs:
    """A batch of shapes alone.

    Args:
        form: see `built`.
        rows: how many.
    """
    if "tokenizer" in form:
        ids = torch.zeros(rows, form["tokenizer"]["length"], dtype=torch.long, device="meta")
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return torch.zeros(rows, *form["shape"], device="meta")


def method_of(recipe: Any) -> Method:
    """A recipe as a run calls it, from a configuration as the papers' files have it: quicker than its parser.

    Args:
        recipe: a name in `studygroup.recipes`, or `class_path` and `init_args`.
    """
    named: Mapping[str, Any] = {"class_path": recipe} if isinstance(recipe, str) else recipe
    make = methods.method(getattr(recipes, named["class_path"].rpartition(".")[2]))
    given = named.get("init_args", {}).items()
    options = {
        name: tuple(value) if isinstance(value, list) else value for name, value in given
    }  # as JSON has it
    return lambda model, seed, example, new: make(model, seed, example, new, **options)


def millions(task: CollaborativeLearning) -> float:
    """Millions of parameters in training, what does not ship included."""
    return parameters(task) / 1e6


def gigabytes(task: CollaborativeLearning, x: Inputs) -> float:
    """Gigabytes that the students' forward pass on all rows keeps for the backward pass, each storage once.

    These are activations, of float32, without losses, auxiliary parts, weights, gradients and the optimiser's state.

    Args:
        task: of students who all see all rows.
        x: a batch.
    """
    return saved_bytes(lambda: task.group(x).logits, ignore=task.group) / 1e9


def passes(task: CollaborativeLearning, *, peer: float = 1.0) -> float:
    """Cost of an epoch of `BATCHES` batches as CGL's appendix counts it, in passes forward and backward.

    Each of K students has N batches, or N / K with a sub-set of his own (more with an overlap); on these his peers
    answer, too. Where all students see all rows, they hear one another for nothing. What students share costs each of
    them again, as it does in print: a trunk, or the modules of a path.

    Args:
        task: any.
        peer: what the answer of a peer costs; in print as much as a pass of one's own.
    """
    students = task.group.students
    if not isinstance(task.rows, Subsets):
        return float(students * BATCHES)
    share = 1 / students + task.rows.overlap * (1 - 1 / students)
    heard = 0.0 if task.listen is None else float(task.listen.consults(0).sum()) / students
    return students * share * BATCHES * (1 + peer * heard)


def sharing(task: CollaborativeLearning) -> float:
    """Share of the layers, routed or common to all, that two students have in common, mean over pairs and layers."""
    return statistics.fmean(layer_sharing(task.group.routes, task.group.export(0)).values())


def passes_by_work(task: CollaborativeLearning) -> float:
    """`passes`, with a peer's constant answer as a third: a forward pass alone, the backward one is twice as much."""
    return passes(task, peer=1.0 if task.peers_gradient or task.peers == "joint" else 1 / 3)
