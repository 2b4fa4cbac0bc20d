"""A multi-layer perceptron for tiny images."""

from collections.abc import Sequence

from torch import nn

from studygroup.models.head import classifier


def mlp(
    classes: int,
    *,
    channels: int = 3,
    pixels: int = 64,
    hidden: Sequence[int] = (96, 96, 96),
    dropout: float = 0.0,
) -> nn.Sequential:
    """Build a multi-layer perceptron: images flattened, then fully connected layers with ReLU.

    A step takes about a millisecond on a CPU; on images as small as scikit-learn's digits it is the network to try
    out ideas with.

    Args:
        classes: how many classes.
        channels: of the images.
        pixels: height times width of the images; 64 is 8 x 8.
        hidden: width of each layer but the last, at least one.
        dropout: share of the hidden activations that is dropped, in [0, 1).

    Returns:
        A network from (N, channels, height, width) to logits (N, classes).

    Raises:
        ValueError: a size below 1, or no hidden layer.
    """
    if min(channels, pixels) < 1 or not hidden:
        raise ValueError(
            f"channels, pixels and hidden are {channels}, {pixels} and {tuple(hidden)}; give at least 1 for each, "
            "and one hidden layer or more"
        )
    return nn.Sequential(
        nn.Flatten(), *classifier(channels * pixels, classes, hidden=hidden, dropout=dropout).children()
    )
