"""Networks by name."""

from studygroup.models.build import build, reads_text
from studygroup.models.cifar import (
    cifar_resnet8,
    cifar_resnet18,
    cifar_resnet20,
    cifar_resnet32,
    cifar_resnet34,
    cifar_resnet101,
    cifar_resnet110,
)
from studygroup.models.head import classifier
from studygroup.models.huggingface import huggingface
from studygroup.models.mlp import mlp
from studygroup.models.transformer import text_transformer
from studygroup.models.vdcnn import vdcnn9
from studygroup.models.vgg import cifar_vgg16

__all__ = [
    "build",
    "cifar_resnet8",
    "cifar_resnet18",
    "cifar_resnet20",
    "cifar_resnet32",
    "cifar_resnet34",
    "cifar_resnet101",
    "cifar_resnet110",
    "cifar_vgg16",
    "classifier",
    "huggingface",
    "mlp",
    "reads_text",
    "text_transformer",
    "vdcnn9",
]
