"""Objectives inside one network: modules over named layers of the user's model, which never ship."""

from studygroup.auxiliary.base import Auxiliary, Step
from studygroup.auxiliary.inner import InnerClassifiers, SelfDistillation
from studygroup.auxiliary.teachers import MeanTeachers

__all__ = ["Auxiliary", "InnerClassifiers", "MeanTeachers", "SelfDistillation", "Step"]
