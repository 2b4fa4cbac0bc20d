"""Objectives inside one network: modules over named layers of the user's model, which never ship."""

from studygroup.auxiliary.base import Auxiliary, OfWeights, Step
from studygroup.auxiliary.classifiers import LocalClassifiers
from studygroup.auxiliary.inner import Bottleneck, InnerClassifiers, LinearFeatures, SelfDistillation
from studygroup.auxiliary.kernels import KernelDecorrelation
from studygroup.auxiliary.local import Local, Shapes
from studygroup.auxiliary.similarity import PullPush
from studygroup.auxiliary.teachers import MeanTeachers
from studygroup.probe import shapes
from studygroup.taps import Layer

__all__ = [
    "Auxiliary",
    "Bottleneck",
    "InnerClassifiers",
    "KernelDecorrelation",
    "Layer",
    "LinearFeatures",
    "Local",
    "LocalClassifiers",
    "MeanTeachers",
    "OfWeights",
    "PullPush",
    "SelfDistillation",
    "Shapes",
    "Step",
    "shapes",
]
