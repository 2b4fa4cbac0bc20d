import datasets
import pytest
import torch

from helpers.made_up import encoded, picture, table
from studygroup.data.columns import image_column, label_column
from studygroup.data.source import from_tables

IMAGE, CLASS, WHOLE = datasets.Image(), datasets.ClassLabel(names=["a", "b"]), datasets.Value("int64")


def opened(train, **others):
    return from_tables("pets", {"train": train, **others}, image_size=None)


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({"label": CLASS, "fine_label": CLASS}, "label"),
        ({"coarse_label": CLASS, "fine_label": CLASS}, "fine_label"),
        ({"species": CLASS, "age": WHOLE}, "species"),
        ({"label": WHOLE, "other": CLASS}, "label"),
    ],
)
def test_label_column(features, expected):
    assert label_column(features) == expected


@pytest.mark.parametrize(
    "features", [{"x": CLASS, "y": CLASS}, {"x": WHOLE}, {"label": datasets.Value("binary")}]
)
def test_unclear_label_columns_are_listed(features):
    with pytest.raises(
        ValueError, match=f"columns hold class labels, one is needed: {next(iter(features))}: "
    ):
        label_column(features)


def test_image_column_as_stored_without_hugging_face():
    stored = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    assert image_column({"picture": stored, "label": WHOLE}) == "picture"


@pytest.mark.parametrize("features", [{"label": CLASS}, {"x": IMAGE, "y": IMAGE}])
def test_unclear_image_columns_are_listed(features):
    with pytest.raises(ValueError, match="columns hold images, one is needed"):
        image_column(features)


def test_numbers_serve_as_class_names():
    assert opened(table([0, 2, 1], names=None)).classes == ("0", "1", "2")


def test_a_missing_label_is_named():
    with pytest.raises(ValueError, match=r"pets train, row 1: there is no label in column 'label'"):
        opened(table([0, None, 1]))


def test_a_label_out_of_range_is_named():
    with pytest.raises(ValueError, match=r"pets test, row 2: the label is -1 and there are 2 classes"):
        opened(table([0, 1]), test=table([0, 1, -1]))
    with pytest.raises(ValueError, match=r"pets test, row 0: the label is 2"):
        opened(table([0, 1], names=None), test=table([2], names=None))


def test_no_training_rows():
    with pytest.raises(ValueError, match=r"no rows in a split 'train', only \['test'\]"):
        from_tables("pets", {"test": table([0])}, image_size=None)


def late(record):
    """A set whose last image, one of many, is unlike the others: no header probe meets it."""
    good = {"bytes": encoded(picture(0, grey=True)), "path": "good.png"}
    features = datasets.Features(img=IMAGE, label=CLASS)
    rows = [good] * 198 + [record, good]
    return opened(datasets.Dataset.from_dict({"img": rows, "label": [0, 1] * 100}, features=features))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (
            {"bytes": encoded(picture(1)), "path": "odd.png"},
            r"row 198 \(odd\.png\): .* in colour .* and others are grey",
        ),
        (
            {"bytes": encoded(picture(1, size=(9, 9), grey=True)), "path": None},
            r"row 198: .* 9 x 9 and others are 6 x 5",
        ),
        ({"bytes": b"", "path": "odd.png"}, r"row 198 \(odd\.png\): the image cannot be read"),
        ({"bytes": None, "path": "gone.png"}, r"row 198 \(.*gone\.png\): the image cannot be read"),
        ({"bytes": encoded(picture(1, grey=True).astype("uint16") * 257), "path": None}, "more than 8 bits"),
        (None, "row 198: there is no image"),
    ],
)
def test_an_odd_image_is_named_when_it_is_met(record, message):
    split = late(record).train
    assert split[torch.arange(190)][0].shape == (190, 1, 6, 5)
    with pytest.raises(ValueError, match=message):
        split[torch.tensor([0, 198])]


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_formats(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(picture(1, grey=True), kind, **options)
    features = datasets.Features(img=IMAGE, label=CLASS)
    rows = {"img": [{"bytes": content, "path": None}] * 2, "label": [0, 1]}
    images, _ = opened(datasets.Dataset.from_dict(rows, features=features)).train[torch.tensor([0])]
    assert torch.equal(images[0, 0], torch.from_numpy(picture(1, grey=True)))
