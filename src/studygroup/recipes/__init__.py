"""Published methods: short functions from a model to a `CollaborativeLearning`, one file each."""

from studygroup.recipes.auxiliary_training import auxiliary_training
from studygroup.recipes.baseline import baseline
from studygroup.recipes.byot import byot
from studygroup.recipes.cgl import cgl
from studygroup.recipes.cl_ilr import cl_ilr
from studygroup.recipes.distillation import distillation
from studygroup.recipes.dml import dml
from studygroup.recipes.ffl import ffl
from studygroup.recipes.intra import intra
from studygroup.recipes.kdcl import kdcl
from studygroup.recipes.multi_instance import multi_instance
from studygroup.recipes.okddip import okddip
from studygroup.recipes.one import one
from studygroup.recipes.pcl import pcl
from studygroup.recipes.self_distillation import self_distillation
from studygroup.recipes.tree import tree

__all__ = [
    "auxiliary_training",
    "baseline",
    "byot",
    "cgl",
    "cl_ilr",
    "distillation",
    "dml",
    "ffl",
    "intra",
    "kdcl",
    "multi_instance",
    "okddip",
    "one",
    "pcl",
    "self_distillation",
    "tree",
]
