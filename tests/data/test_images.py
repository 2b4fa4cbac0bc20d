"""Pictures of every orientation, mode and format are read as they are seen."""

import io
import warnings

import datasets
import numpy as np
import PIL.Image
import pytest
import torch
from packaging.version import Version

from helpers.made_up import encoded, picture
from studygroup.data import FirstFrameWarning, Pictures
from studygroup.data.images import decode, shape_of
from studygroup.data.places import open_source

SEEN = picture(1, size=(4, 6))  # higher than wide after a quarter turn
STORED = {  # what lies in the file, by the tag's value, as the EXIF standard has it
    1: SEEN,
    2: SEEN[:, ::-1],
    3: SEEN[::-1, ::-1],
    4: SEEN[::-1],
    5: SEEN.swapaxes(0, 1),
    6: np.rot90(SEEN, 1),
    7: np.rot90(SEEN.swapaxes(0, 1), 2),
    8: np.rot90(SEEN, -1),
}


def tag(value):
    exif = PIL.Image.Exif()
    exif[0x0112] = value
    return exif


def record(content, path=None):
    return {"bytes": content, "path": path}


def read(content, channels=3):
    return decode(record(content), channels=channels)


def tensor(pixels):
    return torch.from_numpy(np.ascontiguousarray(pixels)).movedim(-1, 0)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("value", STORED)
def test_a_picture_is_turned_as_its_orientation_says(value, kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(np.ascontiguousarray(STORED[value]), kind, exif=tag(value), **options)
    assert torch.equal(read(content), tensor(SEEN))
    assert shape_of(record(content)) == (3, 4, 6)


@pytest.mark.parametrize("value", STORED)
def test_photographs_are_turned(value):
    """JPEG loses values, so that dark and light quarters tell how it lies."""
    seen = np.kron(np.array([[255, 0, 120], [60, 200, 20]], dtype=np.uint8), np.ones((8, 8), dtype=np.uint8))
    stored = {
        1: seen,
        2: seen[:, ::-1],
        3: seen[::-1, ::-1],
        4: seen[::-1],
        5: seen.T,
        6: np.rot90(seen),
        7: np.rot90(seen.T, 2),
        8: np.rot90(seen, -1),
    }
    content = encoded(np.ascontiguousarray(stored[value]), "JPEG", exif=tag(value), quality=95)
    assert shape_of(record(content)) == (1, 16, 24)
    assert (read(content, 1).int() - torch.from_numpy(seen).int()).abs().max() < 12


def test_values_that_are_no_orientation_say_nothing():
    for value in (0, 9, 77):
        assert torch.equal(read(encoded(SEEN, exif=tag(value))), tensor(SEEN))
    assert torch.equal(read(encoded(SEEN, exif=b"Exif\0\0broken")), tensor(SEEN))


@pytest.mark.parametrize("how", ["files", "bytes", "one file"])
def test_every_way_in_turns_pictures(tmp_path, how):
    content = encoded(np.ascontiguousarray(STORED[6]), exif=tag(6))
    if how == "bytes":
        features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=["a", "b"]))
        rows = {"image": [record(content)] * 2, "label": [0, 1]}
        datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "train.parquet")
    for name in ("a", "b") if how == "files" else ("",):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "x.png").write_bytes(content)
    if how == "one file":
        form = Pictures((3, 4, 6), (0.5,) * 3, (0.5,) * 3)
        assert torch.equal(form.read([str(tmp_path / "x.png")])[0], tensor(SEEN))
        return
    train = open_source(tmp_path, image_size=None).train
    assert train.shape == (3, 4, 6)
    assert all(torch.equal(image, tensor(SEEN)) for image in train[torch.arange(2)][0])


YCBCR = pytest.param(
    "YCbCr",
    marks=pytest.mark.skipif(
        Version(PIL.__version__) < Version("13"), reason="Pillow 12 does not read the TIFF that it writes"
    ),
)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK", YCBCR, "PA", "1", "L", "LA"])
def test_modes_become_colours(mode):
    image = PIL.Image.fromarray(SEEN).convert("P" if mode == "PA" else mode).convert(mode)
    stream = io.BytesIO()
    image.save(stream, "TIFF" if mode in ("CMYK", "YCbCr", "PA") else "PNG")
    assert torch.equal(read(stream.getvalue()), tensor(np.array(image.convert("RGB"))))


def test_transparency_is_dropped_without_a_word():
    image = PIL.Image.fromarray(SEEN).convert("P", palette=PIL.Image.Palette.ADAPTIVE, colors=24)
    stream = io.BytesIO()
    image.save(stream, "PNG", transparency=bytes(range(24)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(read(stream.getvalue()), tensor(np.array(image.convert("RGB"))))


def test_grey_of_16_bits_is_refused():
    for kind in ("PNG", "TIFF"):
        with pytest.raises(ValueError, match=r"more than 8 bits per channel .* convert it to 8 bits"):
            read(encoded(SEEN[..., 0].astype(np.uint16) * 256, kind), 1)


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PNG", "WEBP"])
def test_the_first_of_several_frames_is_read_and_said(kind):
    frames = [PIL.Image.fromarray(np.full((4, 6), grey, dtype=np.uint8)) for grey in (10, 200)]
    stream = io.BytesIO()
    options = {"lossless": True} if kind == "WEBP" else {}
    frames[0].save(stream, kind, save_all=True, append_images=frames[1:], **options)
    with pytest.warns(FirstFrameWarning, match=rf"animated or have several pages \({kind}\)"):
        assert read(stream.getvalue()).unique().tolist() == [10]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "PPM", "JPEG2000"])
@pytest.mark.parametrize("keep", [0, 0.1, 0.6])
def test_a_damaged_picture_is_an_error_of_one_kind(kind, keep):
    whole = encoded(picture(3, size=(40, 40)), kind)
    with pytest.raises(OSError, match=r"."):
        read(whole[: int(keep * len(whole))])


def test_what_is_no_picture_is_said_without_addresses(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "x.png").write_bytes(encoded(SEEN))
    (tmp_path / "b" / "y.jpg").write_bytes(b"<html>404 not found</html>")
    with pytest.raises(
        ValueError, match=r"row 1 \(.*y\.jpg\): .* no format that Pillow can read by itself"
    ) as said:
        open_source(tmp_path, image_size=None)
    assert "0x" not in str(said.value)
