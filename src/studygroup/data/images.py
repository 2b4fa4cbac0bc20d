"""Decoding of one image to a uint8 tensor."""

import functools
import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import PIL.Image
import torch
from jaxtyping import UInt8
from torch import Tensor

from studygroup.untrusted import check_file

Record = Mapping[
    str, Any
]  # {"bytes": bytes | None, "path": str | None}, as Hugging Face's Image feature stores it
Shape = tuple[int, int, int]  # channels, height, width

ONE_SIZE = (
    "give image_size=(height, width), --image_size '[height, width]' in a shell, to bring all to one size"
)
"""What to do about pictures of several sizes."""

_LONGEST = 2**28  # bytes of a file
_GREY_MODES = frozenset({"1", "L", "LA", "La"})
_DEEP_MODES = frozenset({"I", "F", "I;16", "I;16L", "I;16B", "I;16N"})
_PAGES = frozenset(
    {"GIF", "TIFF", "PNG", "WEBP", "AVIF"}
)  # formats whose further frames are pictures of their own
FOREIGN_FORMATS = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"})
"""What Pillow does not decode itself. EPS is a program, which it has Ghostscript execute."""
_ORIENTATION = 0x0112  # the EXIF tag of how a camera was held
_Turn = PIL.Image.Transpose
_TURNS = {  # what brings a picture upright, by the tag's value
    2: _Turn.FLIP_LEFT_RIGHT,
    3: _Turn.ROTATE_180,
    4: _Turn.FLIP_TOP_BOTTOM,
    5: _Turn.TRANSPOSE,
    6: _Turn.ROTATE_270,
    7: _Turn.TRANSVERSE,
    8: _Turn.ROTATE_90,
}
_SIDEWAYS = frozenset({5, 6, 7, 8})  # values that exchange height and width


class FirstFrameWarning(UserWarning):
    """A picture is animated or has several pages, of which the first is read."""


def shape_of(record: Record) -> Shape:
    """Return channels (1 or 3), height and width of an encoded image as it is seen, from its header if possible.

    Raises:
        OSError: it is not an image that Pillow can read, or its file is missing.
    """
    with _opened(record, whole=False) as image:
        height, width = image.height, image.width
        if _orientation(image) in _SIDEWAYS:
            height, width = width, height
        return (1 if is_grey(image) else 3, height, width)


def decode(record: Record, *, channels: int) -> UInt8[Tensor, "channels height width"]:
    """Decode one image as it is seen: turned as its EXIF orientation says.

    Palettes become colours, transparency is dropped, CMYK becomes RGB; of an animation or several pages, the first
    is read, with a `FirstFrameWarning`. Colours of 16 bits are cut to 8 by Pillow; grey ones are refused.

    Args:
        record: encoded bytes, or the path of a file.
        channels: 3 for colour (grey is repeated), 1 for grey.

    Raises:
        OSError: the image is corrupt or its file is missing.
        ValueError: a colour image where grey is asked for, or grey of more than 8 bits.
    """
    with _opened(record, whole=True) as image:
        return pixels(image, channels=channels)


def is_grey(image: PIL.Image.Image) -> bool:
    """Tell whether an image has no colours."""
    return image.mode in _GREY_MODES


def pixels(image: PIL.Image.Image, *, channels: int) -> UInt8[Tensor, "channels height width"]:
    """Return the pixels of an opened image, as `decode` does.

    Raises:
        ValueError: a colour image where grey is asked for, or grey of more than 8 bits.
    """
    if image.mode in _DEEP_MODES:
        raise ValueError(f"it has more than 8 bits per channel (mode {image.mode}); convert it to 8 bits")
    if channels == 1 and not is_grey(image):
        raise ValueError(
            f"it is in colour (mode {image.mode}) and others are grey; convert all images to one mode"
        )
    plain = _converted(image, "L" if channels == 1 else "RGB")
    turn = _TURNS.get(_orientation(image))
    found = np.array(plain if turn is None else plain.transpose(turn))
    return torch.from_numpy(found).view(*found.shape[:2], channels).permute(2, 0, 1)


def resize(
    images: UInt8[Tensor, "*rows channels height width"], size: Sequence[int]
) -> UInt8[Tensor, "*rows channels new_height new_width"]:
    """Scale to exactly this height and width (bilinear, antialiased); proportions are not kept."""
    if tuple(images.shape[-2:]) == tuple(size):
        return images
    from torchvision.transforms.v2.functional import resize as antialiased_resize  # seconds to import

    resized: Tensor = antialiased_resize(images, list(size), antialias=True)
    return resized


@contextmanager
def _opened(record: Record, *, whole: bool) -> Iterator[PIL.Image.Image]:
    """Open an image; Pillow raises almost anything for damaged files, which becomes an `OSError` here.

    Args:
        record: encoded bytes, or the path of a file.
        whole: whether to decode its pixels. TIFF always is, since Pillow turns it meanwhile.
    """
    stream = _stream(record)
    try:
        image = _open(stream)
        if whole and image.format in _PAGES and getattr(image, "is_animated", False):
            _warn_of_first(image.format)
        if whole or image.format == "TIFF":
            image.load()
    except PIL.UnidentifiedImageError as error:  # whose message holds an address in memory
        raise OSError("it is in no format that Pillow can read by itself, or is damaged") from error
    except PIL.Image.DecompressionBombError as error:
        raise OSError(f"{error}; scale it down") from error
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
    with image:
        yield image


def _open(stream: io.BytesIO) -> PIL.Image.Image:
    """Open an image, and refuse one beyond Pillow's limit, of which Pillow itself warns up to twice the limit."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
        try:
            return PIL.Image.open(stream, formats=_formats())
        except PIL.Image.DecompressionBombWarning as error:
            raise PIL.Image.DecompressionBombError(str(error).rstrip(".")) from error


@functools.cache
def _formats() -> list[str]:
    """Return the formats that Pillow decodes itself; a file of any name may hold any of them."""
    PIL.Image.init()
    return [kind for kind in PIL.Image.ID if kind not in FOREIGN_FORMATS]


def _warn_of_first(kind: str) -> None:
    """Say that further frames are left out; the same words for all pictures, so that they come once."""
    warnings.warn(
        f"some pictures are animated or have several pages ({kind}), of which the first is read; store each as a "
        "picture of its own to use them all",
        FirstFrameWarning,
        stacklevel=2,
    )


def _orientation(image: PIL.Image.Image) -> int:
    """Return the value of the EXIF tag, 1 where there is none or none that can be read."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a camera's broken EXIF data say nothing about the pixels
        return 1


def _converted(image: PIL.Image.Image, mode: str) -> PIL.Image.Image:
    """Return the image in another mode; of a palette with transparency, the colours alone."""
    see_through = image.mode == "P" and isinstance(image.info.get("transparency"), bytes)
    return (image.convert("RGBA") if see_through else image).convert(mode)  # in one step, Pillow warns


def _stream(record: Record) -> io.BytesIO:
    """Return the encoded bytes: from the table or, if it holds none, from the file."""
    if record["bytes"] is not None:
        return io.BytesIO(record["bytes"])
    if record["path"] is None:
        raise OSError("it has neither bytes nor a path")
    check_file(Path(record["path"]), most=_LONGEST)
    return io.BytesIO(Path(record["path"]).read_bytes())
