"""Decoding of one image to a uint8 tensor."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from jaxtyping import UInt8
from torch import Tensor
from torchvision.transforms.v2.functional import resize as antialiased_resize

from studygroup.untrusted import check_file

Record = Mapping[
    str, Any
]  # {"bytes": bytes | None, "path": str | None}, as Hugging Face's Image feature stores it
Shape = tuple[int, int, int]  # channels, height, width

_LONGEST = 2**28  # bytes of a file
_GREY_MODES = frozenset({"1", "L", "LA"})
_DEEP_MODES = frozenset({"I", "F", "I;16", "I;16L", "I;16B", "I;16N"})


def shape_of(record: Record) -> Shape:
    """Return channels (1 or 3), height and width of an encoded image, from its header alone.

    Raises:
        OSError: it is not an image that Pillow can read, or its file is missing.
    """
    with PIL.Image.open(_stream(record)) as image:
        return (1 if image.mode in _GREY_MODES else 3, image.height, image.width)


def decode(record: Record, *, channels: int) -> UInt8[Tensor, "channels height width"]:
    """Decode one image; palettes become colours, transparency is dropped.

    Args:
        record: encoded bytes, or the path of a file.
        channels: 3 for colour (grey is repeated), 1 for grey.

    Raises:
        OSError: the image is corrupt or its file is missing.
        ValueError: a colour image where grey is asked for, or more than 8 bits per channel.
    """
    with PIL.Image.open(_stream(record)) as image:
        if image.mode in _DEEP_MODES:
            raise ValueError(f"it has more than 8 bits per channel (mode {image.mode}); convert it to 8 bits")
        if channels == 1 and image.mode not in _GREY_MODES:
            raise ValueError(
                f"it is in colour (mode {image.mode}) and others are grey; convert all images to one mode"
            )
        pixels = np.array(image.convert("L" if channels == 1 else "RGB"))
    return torch.from_numpy(pixels).view(*pixels.shape[:2], channels).permute(2, 0, 1)


def resize(
    images: UInt8[Tensor, "*rows channels height width"], size: Sequence[int]
) -> UInt8[Tensor, "*rows channels new_height new_width"]:
    """Scale to exactly this height and width (bilinear, antialiased); proportions are not kept."""
    if tuple(images.shape[-2:]) == tuple(size):
        return images
    resized: Tensor = antialiased_resize(images, list(size), antialias=True)
    return resized


def _stream(record: Record) -> io.BytesIO:
    """Return the encoded bytes: from the table or, if it holds none, from the file."""
    if record["bytes"] is not None:
        return io.BytesIO(record["bytes"])
    if record["path"] is None:
        raise OSError("it has neither bytes nor a path")
    check_file(Path(record["path"]), most=_LONGEST)
    return io.BytesIO(Path(record["path"]).read_bytes())
