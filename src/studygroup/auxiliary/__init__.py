"""Objectives inside one network: modules over named layers of the user's model, which never ship."""

from studygroup.auxiliary.base import Auxiliary
from studygroup.auxiliary.inner import InnerClassifiers, SelfDistillation

__all__ = ["Auxiliary", "InnerClassifiers", "SelfDistillation"]
