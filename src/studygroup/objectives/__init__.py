"""The terms of the total loss: learning from labels, from teachers, and inside the network. None of it ships."""

from studygroup._engine.capture import Capture, Layer
from studygroup.objectives.base import Heard, Objective, Step
from studygroup.objectives.classifiers import LocalClassifiers
from studygroup.objectives.criteria import BinaryCrossEntropy, Criterion, CrossEntropy, SquaredError
from studygroup.objectives.imitation import Imitation, song_chai
from studygroup.objectives.inner import Bottleneck, InnerClassifiers, LinearFeatures, SelfDistillation
from studygroup.objectives.kernels import KernelDecorrelation
from studygroup.objectives.local import Local, Shapes
from studygroup.objectives.of_torch import RowLoss, as_criterion
from studygroup.objectives.probe import probe, shapes
from studygroup.objectives.pull_push import PullPush
from studygroup.objectives.supervised import Ensemble, Supervised

__all__ = [
    "BinaryCrossEntropy",
    "Bottleneck",
    "Capture",
    "Criterion",
    "CrossEntropy",
    "Ensemble",
    "Heard",
    "Imitation",
    "InnerClassifiers",
    "KernelDecorrelation",
    "Layer",
    "LinearFeatures",
    "Local",
    "LocalClassifiers",
    "Objective",
    "PullPush",
    "RowLoss",
    "SelfDistillation",
    "Shapes",
    "SquaredError",
    "Step",
    "Supervised",
    "as_criterion",
    "probe",
    "shapes",
    "song_chai",
]
