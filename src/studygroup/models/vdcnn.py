"""VDCNN: many small temporal convolutions over characters (Conneau et al. 2017)."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from studygroup.models.head import classifier

_LEVELS = (1, 2, 4, 8)  # filters of each level, as multiples of the first's
_SHRINKS = 2 ** (len(_LEVELS) - 1)  # the resolution is halved between levels


def vdcnn9(
    classes: int,
    *,
    vocabulary: int = 69,
    embedding: int = 16,
    width: int = 64,
    pooled: int = 8,
    hidden: int = 2048,
    dropout: float = 0.0,
    shortcut: bool = False,
    padding: int = 0,
) -> "VDCNN":
    """Build VDCNN of depth 9: one convolution and four levels of one convolutional block, two convolutions each.

    `layers.blocks` gives the embedding with the first convolution, and the four blocks: 5 layers, so that with two
    modules each there are 32 paths.

    Reading:
        Max pooling of size 3 and stride 2 between the levels, the best of the paper's three kinds. The first
        convolution has neither norm nor activation, as drawn in figure 1. The blocks' convolutions have no bias,
        which the norm after them would cancel. A shortcut goes around a block's two convolutions, after the pooling,
        and is added before the last ReLU, as in ResNet. Convolutions are initialised as in He et al. (2015), equation
        10, the rest as in PyTorch. With `width=64` the convolutions have 1,575,936 weights and the whole network some
        14 million; table 2 prints 2.2 million parameters and does not say what is counted.

    Args:
        classes: how many classes.
        vocabulary: how many ids there are; 69 in the paper, padding, space and unknown included.
        embedding: size of a character's vector.
        width: filters of the first convolution and the first level; the others have 2, 4 and 8 times as many.
        pooled: how many values of each filter k-max pooling keeps, k.
        hidden: width of the two hidden fully connected layers.
        dropout: rate of the dropout after each of them; 0, as in the paper, is none. Views of one network (L_out)
            need some.
        shortcut: whether blocks have shortcuts: identities or, where the number of filters changes, 1x1 convolutions;
            an option in the paper.
        padding: the id that pads rows.

    Returns:
        A network from ids (N, L) to logits (N, classes).

    Raises:
        ValueError: a size below 1, or a `padding` that is none of the ids.
    """
    if min(vocabulary, embedding, width, pooled) < 1 or not 0 <= padding < vocabulary:
        raise ValueError(
            f"vocabulary, embedding, width and pooled are {vocabulary}, {embedding}, {width} and {pooled}, padding "
            f"is {padding}; give at least 1 for each, and a padding from 0 to vocabulary - 1"
        )
    return VDCNN(
        nn.Embedding(vocabulary, embedding),
        width=width,
        pooled=pooled,
        fc=classifier(_LEVELS[-1] * width * pooled, classes, hidden=(hidden, hidden), dropout=dropout),
        shortcut=shortcut,
        padding=padding,
    )


class VDCNN(nn.Module):
    """The network of `vdcnn9`; its `fc` maps the pooled values, filter by filter, to logits."""

    def __init__(
        self, embedding: nn.Embedding, *, width: int, pooled: int, fc: nn.Module, shortcut: bool, padding: int
    ) -> None:
        super().__init__()
        self.pooled, self.padding = pooled, padding
        self.embedding = embedding
        self.stem = Convolution(embedding.embedding_dim, width, 3, padding=1)
        sizes = [width, *(level * width for level in _LEVELS)]
        self.levels = nn.ModuleList(
            ConvolutionalBlock(before, size, halves=number > 0, shortcut=shortcut)
            for number, (before, size) in enumerate(pairwise(sizes))
        )
        self.fc = fc

    def forward(
        self,
        input_ids: Int[Tensor, "rows length"],
        attention_mask: Int[Tensor, "rows length"] | Bool[Tensor, "rows length"] | None = None,
    ) -> Float[Tensor, "_ classes"]:  # "_": inside a group, rows part on the way for several students
        """Return the logits.

        Args:
            input_ids: rows padded with the `padding` id, to the 1014 or 1024 characters of the papers or to any
                other length. Padding is not masked, so it changes the logits. Rows too short for k-max pooling,
                below 8k − 7 characters, are padded to that.
            attention_mask: not used, and accepted only so that all networks for texts are called alike: the
                published network sees padding as one more character.
        """
        length = input_ids.shape[1]
        # no branch, which an exported graph would lose
        enough = torch.sym_max(length, _SHRINKS * (self.pooled - 1) + 1)
        input_ids = F.pad(input_ids, (0, enough - length), value=self.padding)
        hidden = self.stem(self.embedding(input_ids).transpose(1, 2)).transpose(1, 2)
        for block in self.levels:
            hidden = block(hidden)
        logits: Tensor = self.fc(k_max(hidden.transpose(1, 2), self.pooled).flatten(1))
        return logits


class ConvolutionalBlock(nn.Module):
    """Two convolutions of size 3, each with norm and ReLU; between levels, max pooling before (`halves`).

    Input and output are tokens (rows, length, width), the order of axes that rules and objectives expect of a
    layer; inside, and in memory, channels come first.
    """

    def __init__(self, before: int, width: int, *, halves: bool, shortcut: bool) -> None:
        super().__init__()
        self.pool = nn.MaxPool1d(3, stride=2, padding=1) if halves else nn.Identity()
        self.conv1 = Convolution(before, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm1d(width)
        self.conv2 = Convolution(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm1d(width)
        self.relu = nn.ReLU(inplace=True)
        same = nn.Identity() if before == width else Convolution(before, width, 1, bias=False)
        self.shortcut = same if shortcut else None

    def forward(self, hidden: Float[Tensor, "_ length before"]) -> Float[Tensor, "_ shorter width"]:
        """Return the block's output, half as long (rounded up) if the block halves."""
        maps = self.pool(hidden.transpose(1, 2))
        new = self.relu(self.bn1(self.conv1(maps)))
        new = self.bn2(self.conv2(new))
        if self.shortcut is not None:
            new = new + self.shortcut(maps)
        activated: Tensor = self.relu(new)
        return activated.transpose(1, 2)


class Convolution(nn.Conv1d):
    """A temporal convolution, initialised and reset as in He et al. (2015): deviation √(2 / inputs)."""

    def reset_parameters(self) -> None:
        """Draw the weights; biases are 0."""
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        if self.bias is not None:
            nn.init.zeros_(self.bias)


def k_max(values: Float[Tensor, "*channels length"], k: int) -> Float[Tensor, "*channels {k}"]:
    """Return the k largest values of each channel, in their original order.

    Of equal values the first are taken: after a ReLU many are 0, and which of them are taken determines the
    positions of the others.

    Args:
        values: at least k along the last axis.
        k: how many.
    """
    # argmax returns the first of equal values; topk and sort do not guarantee that, or cannot be exported
    left = values.detach().clone()
    places = []
    for _ in range(k):
        places.append(left.argmax(-1, keepdim=True))
        left.scatter_(-1, places[-1], float("-inf"))
    return values.gather(-1, torch.cat(places, -1).sort(-1).values)
