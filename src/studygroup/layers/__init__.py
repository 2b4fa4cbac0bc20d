"""Which layers of a network objectives inside it work on, found by a dry run: convolutions, dropouts."""

from studygroup.layers.convolutions import ConvLayer, convolution_groups, convolution_layers
from studygroup.layers.dropouts import dropout_layers

__all__ = ["ConvLayer", "convolution_groups", "convolution_layers", "dropout_layers"]
