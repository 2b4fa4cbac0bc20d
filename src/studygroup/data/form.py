"""The form of a data set's rows, pictures or texts: how batches and user input become what a network takes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from studygroup.data.augment import Normalise
from studygroup.data.images import Shape, decode, resize
from studygroup.data.splits import Rows
from studygroup.data.text import Encoder, filled, load_encoder

TOKENIZER = "tokenizer"
LARGEST_SIDE = 2**13
"""Pixels of a side of a picture at most."""


@runtime_checkable
class Form(Protocol):
    """The facts about rows that training needs; everything else stays in the splits."""

    @property
    def sizes(self) -> dict[str, int]:
        """Arguments of `studygroup.models.build` that a network needs to read such rows."""
        ...

    @property
    def words(self) -> str:
        """The network's input, described in a sentence."""
        ...

    @property
    def facts(self) -> dict[str, Any]:
        """Plain values that a run keeps: enough, together with what `save` writes, for `load_form`."""
        ...

    def ready(self, *, channels_last: bool) -> nn.Module:
        """Convert the inputs of a batch to the network's, on the module's device."""
        ...

    def read(self, inputs: Sequence[str]) -> Rows:
        """Return rows, as a split gives them, from user input: paths of image files, or texts."""
        ...

    def save(self, folder: Path) -> None:
        """Write what is no plain value into a folder, next to the exported network."""
        ...


@dataclass(frozen=True)
class Pictures:
    """Images of one size.

    Attributes:
        shape: channels, height and width.
        mean: of each channel over the training rows, pixels counted as 0 to 1.
        std: population standard deviation of each channel, likewise.
    """

    shape: Shape
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def sizes(self) -> dict[str, int]:
        """The number of channels."""
        return {"channels": self.shape[0]}

    @property
    def words(self) -> str:
        """The network's input, described in a sentence."""
        normalised = ", ".join(f"{n} {[round(v, 4) for v in getattr(self, n)]}" for n in ("mean", "std"))
        size = ", ".join(map(str, self.shape))
        return f"images (N, {size}), pixels / 255, then\nnormalised per channel with {normalised}."

    @property
    def facts(self) -> dict[str, Any]:
        """Shape, mean and deviation."""
        return {"shape": list(self.shape), "mean": list(self.mean), "std": list(self.std)}

    def ready(self, *, channels_last: bool) -> nn.Module:
        """Normalise uint8 images."""
        return Normalise(self.mean, self.std, channels_last=channels_last)

    def read(self, inputs: Sequence[str]) -> Rows:
        """Decode image files and scale them to the shape.

        Raises:
            ValueError: a file is missing or is no such image.
        """
        return torch.stack([self._decode(path) for path in inputs])

    def _decode(self, path: str) -> Tensor:
        try:
            return resize(decode({"bytes": None, "path": path}, channels=self.shape[0]), self.shape[1:])
        except (OSError, ValueError) as error:
            raise ValueError(f"{path} cannot be read as an image ({error}); give the path of one") from error

    def save(self, folder: Path) -> None:
        """Write nothing: the facts are all there is."""


@dataclass(frozen=True)
class Texts:
    """Token ids with a mask.

    Attributes:
        encoder: from a text to the ids of its tokens.
    """

    encoder: Encoder

    @property
    def sizes(self) -> dict[str, int]:
        """The size of the vocabulary, and the padding id."""
        return {"vocabulary": self.encoder.vocabulary, "padding": self.encoder.padding}

    @property
    def words(self) -> str:
        """The network's input, described in a sentence."""
        filled = "always" if self.encoder.full else "at most"
        return (
            f"`input_ids` and `attention_mask` (N, L), L {filled} {self.encoder.length}, from the tokenizer in\n"
            f"`{TOKENIZER}`: {self.encoder.vocabulary} tokens, number {self.encoder.padding} fills rows up."
        )

    @property
    def facts(self) -> dict[str, Any]:
        """Sizes and identity of the tokenizer."""
        names = ("vocabulary", "length", "full", "fingerprint")
        return {"tokenizer": {name: getattr(self.encoder, name) for name in names}}

    def ready(self, *, channels_last: bool) -> nn.Module:
        """Return the ids unchanged: the network takes them as they are."""
        return nn.Identity()

    def read(self, inputs: Sequence[str]) -> Rows:
        """Return ids and mask of texts."""
        return filled(self.encoder(inputs), self.encoder)

    def save(self, folder: Path) -> None:
        """Write the tokenizer.

        Raises:
            ValueError: the folder has another, which other files there are read with.
        """
        place = folder / TOKENIZER
        if place.exists() and load_encoder(place).fingerprint != self.encoder.fingerprint:
            raise ValueError(
                f"{place} is another tokenizer, of another network there; give a folder of its own"
            )
        self.encoder.save(place)


def load_form(facts: Mapping[str, Any], folder: Path) -> Form:
    """Load a form from what it saved.

    Args:
        facts: the form's `facts`.
        folder: the one given to its `save`.

    Raises:
        ValueError: the tokenizer is missing, damaged or another than the facts', or the facts are none of pictures.
    """
    if "tokenizer" in facts:
        encoder, known = load_encoder(folder / TOKENIZER), facts["tokenizer"]
        own = known.get("fingerprint") if isinstance(known, Mapping) else None
        if own is not None and own != encoder.fingerprint:
            raise ValueError(
                f"{folder / TOKENIZER} is another tokenizer than the network was trained with; put its own back"
            )
        return Texts(encoder)
    try:
        channels, height, width = map(int, facts["shape"])
        mean, std = (tuple(map(float, facts[name])) for name in ("mean", "std"))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"header.form does not say how pictures are read: {error!r}") from error
    if not all(map(math.isfinite, (*mean, *std))) or min(std, default=1.0) <= 0:
        raise ValueError(f"header.form has mean {mean} and std {std}, which pictures cannot have")
    if (
        min(channels, height, width) < 1
        or max(height, width) > LARGEST_SIDE
        or not channels == len(mean) == len(std) <= 4
    ):
        raise ValueError(
            f"header.form.shape is {facts['shape']}, with {len(mean)} channels in mean; no picture is so"
        )
    return Pictures((channels, height, width), mean, std)
