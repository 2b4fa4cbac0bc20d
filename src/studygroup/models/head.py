"""The classifier at the end of a convolutional network."""

from collections.abc import Sequence

from torch import nn


def classifier(
    features: int, classes: int, *, hidden: Sequence[int] = (512, 512), dropout: float = 0.5
) -> nn.Module:
    """Build fully connected layers with dropout after all but the last, as in the intra-model paper.

    Reading:
        "Three fully-connected layers", dropout 0.5 "in the first two": after their activation, as in torchvision's
        VGG. Their widths are not printed; 512 is the number of features of ResNet-18 and VGG-16.

    Args:
        features: how many input features.
        classes: how many classes.
        hidden: width of each layer but the last; an empty sequence gives one plain linear map.
        dropout: share of the hidden activations that is dropped.

    Returns:
        A network from (N, features) to logits (N, classes), for any network: `net.fc = classifier(...)`.

    Raises:
        ValueError: a size below 1.
    """
    if min(features, classes, *hidden) < 1:
        raise ValueError(
            f"features, classes and hidden are {features}, {classes} and {tuple(hidden)}; give at least 1 for each"
        )
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(features, width), nn.ReLU(inplace=True), nn.Dropout(dropout)]
        features = width
    last = nn.Linear(features, classes)
    return nn.Sequential(*layers, last) if hidden else last
