"""Every recipe of the library, and the variants whose steps differ, on one network."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

import studygroup as sg
from reproduction.gpu.network import Network

Make = Callable[[Network], sg.CollaborativeLearning]


def _constant_peers(network: Network) -> sg.CollaborativeLearning:
    return sg.recipes.cgl(network.build(), peers_gradient=False, peers="train", init=network.build)


def _kdcl(teacher: Callable[[], sg.teachers.OneTeacher], network: Network) -> sg.CollaborativeLearning:
    return sg.recipes.kdcl(network.build(), teacher=teacher, init=network.build)


METHODS: dict[str, Make] = {
    "baseline": lambda n: sg.recipes.baseline(n.build()),
    "cgl": lambda n: sg.recipes.cgl(n.build(), init=n.build),
    "cgl_constant_peers": _constant_peers,
    "cgl_rows_shared": lambda n: sg.recipes.cgl(n.build(), subsets=False, init=n.build),
    "cgl_two_passes": lambda n: sg.recipes.cgl(n.build(), peers="train", init=n.build),
    "auxiliary_training": lambda n: sg.recipes.auxiliary_training(
        n.build(), inner=n.inner, example=n.example
    ),
    "byot": lambda n: sg.recipes.byot(n.build(), inner=n.inner, example=n.example),
    "cl_ilr": lambda n: sg.recipes.cl_ilr(n.build(), layers=n.branch, init=n.build),
    "distillation": lambda n: sg.recipes.distillation(n.build(), teacher=n.build(), example=n.example),
    "dml": lambda n: sg.recipes.dml(n.build(), init=n.build),
    "dml_in_turn": lambda n: sg.recipes.dml(n.build(), in_turn=True, init=n.build),
    "ffl": lambda n: sg.recipes.ffl(n.build(), layers=n.branch, example=n.example, init=n.build),
    "intra_out": lambda n: sg.recipes.intra(n.dropping(), example=n.example, out=1.0),
    "intra_mid": lambda n: sg.recipes.intra(n.build(), example=n.example, mid=1.0),
    "intra_pull_push": lambda n: sg.recipes.intra(n.build(), example=n.example, pull_push=0.01),
    "intra_kernel": lambda n: sg.recipes.intra(n.build(), example=n.example, kernel=0.01),
    "kdcl": lambda n: sg.recipes.kdcl(n.build(), init=n.build),
    "kdcl_naive": partial(_kdcl, sg.teachers.BestStudent),
    "kdcl_linear": partial(_kdcl, sg.teachers.LinearTeacher),
    "kdcl_general": partial(_kdcl, sg.teachers.GeneralTeacher),
    "multi_instance": lambda n: sg.recipes.multi_instance(n.build(), init=n.build),
    "okddip": lambda n: sg.recipes.okddip(n.build(), layers=n.branch, example=n.example, init=n.build),
    "one": lambda n: sg.recipes.one(n.build(), layers=n.branch, example=n.example, init=n.build),
    "pcl": lambda n: sg.recipes.pcl(n.build(), layers=n.branch, example=n.example, init=n.build),
    "self_distillation": lambda n: sg.recipes.self_distillation(n.build()),
    "tree": lambda n: sg.recipes.tree(n.build(), table=n.tree, init=n.build),
}


def owners(task: sg.CollaborativeLearning, rows: int) -> Tensor | None:
    """Return the owner of each row of a step, equally many rows for each student; None if all share all rows.

    Args:
        task: the task of the students.
        rows: of a step, all students together.

    Raises:
        ValueError: fewer rows than students.
    """
    if not isinstance(task.rows, sg.Subsets):
        return None
    if rows < task.group.students:
        raise ValueError(f"{rows} rows a step for {task.group.students} students; give one row each at least")
    return torch.arange(task.group.students).repeat_interleave(rows // task.group.students)
