"""Published methods: short functions from a model to a `CollaborativeLearning`, one file each."""

from studygroup.recipes.baseline import baseline
from studygroup.recipes.cgl import cgl

__all__ = ["baseline", "cgl"]
