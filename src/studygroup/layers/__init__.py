"""Layers of a network: where students can part, and what objectives inside it work on."""

from studygroup.layers.convolutions import ConvLayer, convolution_groups, convolution_layers
from studygroup.layers.dropouts import dropout_layers
from studygroup.layers.parting import cannot_part, view_dropouts
from studygroup.layers.structure import blocks, first_groups, last_group
from studygroup.layers.suggest import Suggestion, suggest

__all__ = [
    "ConvLayer",
    "Suggestion",
    "blocks",
    "cannot_part",
    "convolution_groups",
    "convolution_layers",
    "dropout_layers",
    "first_groups",
    "last_group",
    "suggest",
    "view_dropouts",
]
