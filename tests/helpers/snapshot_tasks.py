"""What the snapshot is taken of: every recipe, its arguments spelled out, and variants that a formula hangs on."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

import studygroup as sg
from helpers.networks import CASES, CLASSES, OURS, Case, binary, inner, kernels

Make = Callable[[Case], sg.CollaborativeLearning]
NETWORKS = {name: CASES[name] for name in ("resnet", "timm_vit", "bert", "mlp")} | OURS


def auxiliary_training(case: Case) -> sg.CollaborativeLearning:
    return sg.recipes.auxiliary_training(case.build(), inner=inner(case), example=case.inputs(2), weight=0.3)


def byot(case: Case, **other: Any) -> sg.CollaborativeLearning:
    given = {"alpha": 0.3, "feature_weight": 0.03, "temperature": 3.0, "convolutions": True} | other
    return sg.recipes.byot(case.build(), inner=inner(case), example=case.inputs(2), **given)


def cgl(case: Case, **other: Any) -> sg.CollaborativeLearning:
    given = {
        "students": 4, "modules": 2, "probability": 0.5, "selection": "fixed", "include_self": False,
        "subsets": True, "overlap": 0.0, "temperature": 3.0, "ramp": (0.0, 0.2), "distinct": True,
        "peers": "train", "peers_gradient": False, "scale_by_t2": False, "init": case.build, "structure": None,
        "seed": 0,
    }  # fmt: skip
    return sg.recipes.cgl(case.build(), layers=case.blocks, **given | other)


SONG_CHAI = {
    "alpha": 0.5, "temperature": 2.0, "divergence": "cross_entropy", "detach": True, "reduction": "mean",
}  # fmt: skip
OTHERWISE = {"alpha": 0.3, "divergence": "kl", "detach": False, "reduction": "sum"}


def cl_ilr(case: Case, **other: Any) -> sg.CollaborativeLearning:
    given = SONG_CHAI | {"students": 3, "rescale_gradients": True, "init": case.build}
    return sg.recipes.cl_ilr(case.build(), layers=case.branch, **given | other)


def multi_instance(case: Case, **other: Any) -> sg.CollaborativeLearning:
    given = SONG_CHAI | {"students": 3, "init": case.build}
    return sg.recipes.multi_instance(case.build(), **given | other)


def tree(case: Case, **other: Any) -> sg.CollaborativeLearning:
    given = SONG_CHAI | {"rescale_gradients": True, "init": case.build}
    return sg.recipes.tree(case.build(), table=binary(case), **given | other)


def dml(case: Case, net: nn.Module | sg.Peers | None = None, **other: Any) -> sg.CollaborativeLearning:
    given = {
        "students": 3, "temperature": 1.0, "detach": True, "scale_by_t2": False, "in_turn": False,
        "init": case.build,
    }  # fmt: skip
    return sg.recipes.dml(net or case.build(), **given | other)


def kdcl(case: Case, net: nn.Module | sg.Peers | None = None, **other: Any) -> sg.CollaborativeLearning:
    given = {
        "students": 3, "teacher": sg.teachers.MinLogit, "temperature": 2.0, "weight": 1.0, "detach": True,
        "scale_by_t2": True, "init": case.build,
    }  # fmt: skip
    return sg.recipes.kdcl(net or case.build(), **given | other)


TEACHERS: dict[str, Callable[[], sg.teachers.OneTeacher]] = {
    "naive": sg.teachers.BestStudent,
    "min_logit": sg.teachers.MinLogit,
    "linear": partial(sg.teachers.LinearTeacher, per_row=True, steps=20),
    "linear of the batch": partial(sg.teachers.LinearTeacher, per_row=False, steps=20),
    "general": partial(sg.teachers.GeneralTeacher, decay=0.9, ridge=1e-3),
}


def peers(case: Case) -> sg.Peers:
    """Two networks of different architecture."""
    numbers = case.inputs(1)[0].numel()
    return sg.Peers(
        [case.build(), nn.Sequential(nn.Flatten(), nn.Linear(numbers, 9), nn.Tanh(), nn.Linear(9, CLASSES))]
    )


BRANCHES = {"temperature": 3.0, "ramp": (0.0, 80 / 300), "scale_by_t2": True}


def okddip(case: Case, **other: Any) -> sg.CollaborativeLearning:
    given = BRANCHES | {
        "students": 4, "reduction": 8, "include_self": True, "aggregate": "logits",
        "init": case.build,
    }  # fmt: skip
    return sg.recipes.okddip(case.build(), layers=case.branch, example=case.inputs(2), **given | other)


def one(case: Case, **other: Any) -> sg.CollaborativeLearning:
    given = BRANCHES | {"students": 3, "detach": True, "aggregate": "logits", "init": case.build}
    return sg.recipes.one(case.build(), layers=case.branch, example=case.inputs(2), **given | other)


def pcl(case: Case, **other: Any) -> sg.CollaborativeLearning:
    given = BRANCHES | {"students": 3, "decay": 0.6, "detach": True, "init": case.build}
    return sg.recipes.pcl(case.build(), layers=case.branch, example=case.inputs(2), **given | other)


def intra(case: Case, *parts: str, **other: Any) -> sg.CollaborativeLearning:
    """All parts that the network has the layers for, or some of them."""
    net = case.build()
    drops = any(isinstance(module, nn.Dropout) and module.p for module in net.modules())
    weights = {"out": float(drops), "mid": 1.0, "pull_push": 0.01, "kernel": 0.01}
    given = {
        "views": 2, "alpha": 0.5, "temperature": 2.0, "source": case.source, "source_statistic": "deviation",
        "inner": inner(case), "kernels": kernels(net),
    }  # fmt: skip
    chosen = {name: weight for name, weight in weights.items() if not parts or name in parts}
    return sg.recipes.intra(net, example=case.inputs(2), **chosen | given | other)


def distillation(case: Case) -> sg.CollaborativeLearning:
    given = {"alpha": 0.5, "temperature": 2.0, "scale_by_t2": True}
    return sg.recipes.distillation(case.build(), teacher=case.build(), example=case.inputs(2), **given)


def ffl(case: Case) -> sg.CollaborativeLearning:
    given = BRANCHES | {"students": 2, "ships": "sub-network", "init": case.build}
    return sg.recipes.ffl(case.build(), layers=case.branch, example=case.inputs(2), **given)


def self_distillation(case: Case) -> sg.CollaborativeLearning:
    given = BRANCHES | {"weight": 1.0, "temperature": 1.0, "decay": 0.6, "ships": "average"}
    return sg.recipes.self_distillation(case.build(), **given)


RECIPES: dict[str, Make] = {
    "auxiliary_training": auxiliary_training,
    "baseline": lambda case: sg.recipes.baseline(case.build()),
    "byot": byot,
    "cgl": cgl,
    "cl_ilr": cl_ilr,
    "distillation": distillation,
    "dml": dml,
    "ffl": ffl,
    "intra": intra,
    "kdcl": kdcl,
    "kdcl_general": partial(kdcl, teacher=TEACHERS["general"]),
    "kdcl_linear": partial(kdcl, teacher=TEACHERS["linear"]),
    "multi_instance": multi_instance,
    "okddip": okddip,
    "one": one,
    "pcl": pcl,
    "self_distillation": self_distillation,
    "tree": tree,
}
"""Taken of every network."""

VARIANTS: dict[str, Make] = {
    "byot, pooled": partial(byot, convolutions=False),
    "cgl, as printed": partial(cgl, selection="bernoulli", include_self=True, scale_by_t2=True),
    "cgl, bernoulli": partial(cgl, selection="bernoulli"),
    "cgl, gradient to peers": partial(cgl, peers_gradient=True),
    "cgl, in one pass": partial(cgl, peers="joint", peers_gradient=True, temperature=1.0),
    "cgl, include_self": partial(cgl, include_self=True),
    "cgl, nobody imitates": partial(cgl, probability=0.0),
    "cgl, peers in eval": partial(cgl, peers="eval"),
    "cgl, rows shared": partial(cgl, subsets=False),
    "cgl, rows shared, gradient to peers": partial(cgl, subsets=False, peers_gradient=True),
    "cgl, started by copy": partial(cgl, init="copy"),
    "cgl, drawn at will": partial(cgl, distinct=False, modules=3, structure=5, seed=7),
    "cl_ilr, not rescaled": partial(cl_ilr, rescale_gradients=False),
    "cl_ilr, otherwise": partial(cl_ilr, **OTHERWISE),
    "dml, gradient to peers": partial(dml, temperature=2.0, detach=False, scale_by_t2=True),
    "dml, in turn": partial(dml, in_turn=True),
    "multi_instance, otherwise": partial(multi_instance, **OTHERWISE),
    "kdcl, naive": partial(kdcl, teacher=TEACHERS["naive"]),
    "kdcl, linear of the batch": partial(kdcl, teacher=TEACHERS["linear of the batch"]),
    "kdcl, gradient to peers": partial(kdcl, detach=False),
    "okddip, others only": partial(okddip, include_self=False),
    "okddip, probabilities": partial(okddip, aggregate="probabilities"),
    "one, gradient to the gate": partial(one, detach=False),
    "one, probabilities": partial(one, aggregate="probabilities"),
    "pcl, gradient to the ensemble": partial(pcl, detach=False, scale_by_t2=False),
    "tree, otherwise": partial(tree, rescale_gradients=False, **OTHERWISE),
    **{
        f"intra, {' and '.join(parts)}": partial(lambda parts, case: intra(case, *parts), parts)
        for parts in (("mid",), ("pull_push",), ("kernel",), ("mid", "pull_push"))
    },
}
"""Taken of one network of layers and dropout, and of one with batch normalisation."""

OF_PEERS: dict[str, Make] = {
    "dml of peers": lambda case: dml(case, peers(case)),
    "dml of peers, in turn": lambda case: dml(case, peers(case), in_turn=True),
} | {
    f"kdcl of peers, {name}": partial(lambda teacher, case: kdcl(case, peers(case), teacher=teacher), teacher)
    for name, teacher in TEACHERS.items()
}
"""Taken as `VARIANTS`."""

OF_DROPOUT: dict[str, Make] = {
    f"intra, {' and '.join(parts)}": partial(lambda parts, case: intra(case, *parts), parts)
    for parts in (("out",), ("out", "kernel"), ("out", "mid", "pull_push"))
} | {"intra, three views": lambda case: intra(case, "out", views=3, alpha=0.3, temperature=1.0)}
"""Taken of networks with dropout."""

SINGLE = ("cgl", "intra", "kdcl_general", "okddip", "one", "pcl")
"""Taken in float32, too."""


def entries() -> dict[str, tuple[Make, Case, str]]:
    """What is taken, by name: how the task is made, of which network, in which precision."""
    found: dict[str, tuple[Make, Case, str]] = {}
    for tasks, networks in (
        (RECIPES, tuple(NETWORKS)),
        (VARIANTS, ("mlp", "resnet")),
        (OF_PEERS, ("mlp", "resnet")),
        (OF_DROPOUT, ("mlp", "vdcnn")),
    ):
        for network in networks:
            found |= {
                f"{name} / {network}": (make, NETWORKS[network], "float64") for name, make in tasks.items()
            }
    for network in ("resnet", "bert", "mlp"):
        found |= {
            f"{name} / {network}, float32": (RECIPES[name], NETWORKS[network], "float32") for name in SINGLE
        }
    return found
