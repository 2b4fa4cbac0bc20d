"""Networks by name, and where their blocks are."""

from studygroup.models.build import build
from studygroup.models.cifar import (
    cifar_resnet18,
    cifar_resnet20,
    cifar_resnet32,
    cifar_resnet34,
    cifar_resnet110,
)
from studygroup.models.structure import blocks, last_group

__all__ = [
    "blocks",
    "build",
    "cifar_resnet18",
    "cifar_resnet20",
    "cifar_resnet32",
    "cifar_resnet34",
    "cifar_resnet110",
    "last_group",
]
