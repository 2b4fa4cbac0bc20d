"""Folders of pictures: what is a class, what is a row, and what is said of the rest."""

import warnings

import PIL.Image
import pytest
import torch

from helpers.made_up import encoded, image_files, picture
from studygroup.data import LeftOutWarning, load
from studygroup.data.places import open_source


def source(spec):
    return open_source(spec, image_size=None)


def silent(spec):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return source(spec)


@pytest.mark.parametrize(
    "name", [".ipynb_checkpoints", "__MACOSX", ".git", ".Trash-1000", "@eaDir", "__pycache__"]
)
def test_folders_of_systems_are_no_classes(tmp_path, name):
    for split in ("train", "test"):
        image_files(tmp_path / split, {"cat": 2, "dog": 3, name: 2})
    with pytest.warns(LeftOutWarning, match=rf"1 hidden files and folders are left out \({name}\)"):
        found = source(tmp_path)
    assert found.classes == ("cat", "dog")
    assert found.train.labels.tolist() == found.test.labels.tolist() == [0, 0, 1, 1, 1]


def test_hidden_folders_inside_a_class(tmp_path):
    image_files(tmp_path, {"cat": 2, "cat/.ipynb_checkpoints": 2, "dog": 1, "dog/young": 2})
    with pytest.warns(LeftOutWarning, match=r"\(cat/\.ipynb_checkpoints\)"):
        found = source(tmp_path)
    assert found.train.labels.tolist() == [0, 0, 1, 1, 1]  # other folders inside a class are part of it


def test_files_of_systems_are_left_out_silently(tmp_path):
    image_files(tmp_path, {"cat": 2, "dog": 1})
    for place in (tmp_path, tmp_path / "cat"):
        for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "ehthumbs.db"):
            (place / name).write_bytes(b"\0\0\0\1Bud1")
    assert silent(tmp_path).train.labels.tolist() == [0, 0, 1]


def test_twins_of_files_on_other_systems_are_no_pictures(tmp_path):
    image_files(tmp_path, {"cat": 1, "dog": 1})
    (tmp_path / "cat" / "._test_0.png").write_bytes(b"\0\5\x16\7")
    with pytest.warns(
        LeftOutWarning, match=r"1 hidden files and folders are left out \(cat/\._test_0\.png\)"
    ):
        assert source(tmp_path).train.labels.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("ending", "kind"),
    [
        ("jfif", "JPEG"),
        ("JPG", "JPEG"),
        ("jpe", "JPEG"),
        ("Png", "PNG"),
        ("apng", "PNG"),
        ("gif", "GIF"),
        ("bmp", "BMP"),
        ("dib", "DIB"),
        ("tif", "TIFF"),
        ("TIFF", "TIFF"),
        ("webp", "WEBP"),
        ("avif", "AVIF"),
        ("ppm", "PPM"),
        ("pnm", "PPM"),
        ("tga", "TGA"),
        ("pcx", "PCX"),
        ("jp2", "JPEG2000"),
        ("ico", "ICO"),
        ("mpo", "MPO"),  # of cameras: opened as JPEG
        ("jfif", "WEBP"),  # content and name may differ, as with browsers
    ],
)
def test_every_picture_that_pillow_reads_is_a_row(tmp_path, ending, kind):
    image_files(tmp_path, {"cat": 1, "dog": 1}, size=(32, 32))
    options = {"sizes": [(32, 32)]} if kind == "ICO" else {}
    (tmp_path / "dog" / f"1.{ending}").write_bytes(encoded(picture(5, size=(32, 32)), kind, **options))
    found = silent(tmp_path)
    assert found.train.labels.tolist() == [0, 1, 1]
    images, _ = found.train[torch.tensor([1])]
    with PIL.Image.open(tmp_path / "dog" / f"1.{ending}") as image:
        assert images[0, :, 3, 4].tolist() == list(image.convert("RGB").getpixel((4, 3)))


def test_files_that_are_not_read_are_counted(tmp_path):
    image_files(tmp_path, {"cat": 2, "dog": 2})
    for i in range(3):
        (tmp_path / "cat" / f"{i}.heic").write_bytes(b"ftypheic")
    for name in ("dog/notes.txt", "dog/x.svg", "dog/IMG_0001"):
        (tmp_path / name).write_text("x")
    message = r"6 files are left out \(3 of \.heic, 1 of (\.svg|\.txt|no ending), "
    with pytest.warns(LeftOutWarning, match=message) as said:
        assert source(tmp_path).train.labels.tolist() == [0, 0, 1, 1]
    assert all(end in str(said[0].message) for end in ("1 of .svg", "1 of .txt", "1 of no ending"))


def test_each_split_counts_its_own(tmp_path):
    for split in ("train", "test"):
        image_files(tmp_path / split, {"cat": 2, "dog": 2})
        (tmp_path / split / "cat" / "x.heic").write_text("x")
    with pytest.warns(LeftOutWarning) as said:
        source(tmp_path)
    assert [str(one.message).partition(":")[0] for one in said] == [
        str(tmp_path / s) for s in ("train", "test")
    ]


def test_a_class_of_unread_files_alone(tmp_path):
    image_files(tmp_path, {"cat": 2, "dog": 0})
    (tmp_path / "dog" / "x.heic").write_text("x")
    with (
        pytest.warns(LeftOutWarning, match=r"1 of \.heic"),
        pytest.raises(ValueError, match=r"no image in 'dog'.*it holds 2 of \.png, 1 of \.heic"),
    ):
        source(tmp_path)


def test_test_pictures_are_matched_by_name(tmp_path):
    image_files(tmp_path / "train", {"a": 1, "b": 2, "c": 1})
    image_files(tmp_path / "test", {"c": 2, "b": 1})
    found = source(tmp_path)
    assert [found.classes[label] for label in found.test.labels.tolist()] == ["b", "c", "c"]


@pytest.mark.parametrize(
    "names", [("Train", "Test"), ("training", "testing"), ("cat", "test"), ("VAL", "dog")]
)
def test_splits_under_other_names_are_no_classes(tmp_path, names):
    for name in names:
        image_files(tmp_path / name, {"cat": 1, "dog": 1})
    with pytest.raises(ValueError, match="would be classes; call those of splits 'train' and 'test'"):
        source(tmp_path)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "book.xlsx"])
def test_tables_of_other_kinds_are_named(tmp_path, name):
    (tmp_path / name).write_text("text\tlabel\na\t0\n")
    with pytest.raises(
        ValueError, match=rf"1 of \.{name.partition('.')[2]}; tables are read from Parquet, CSV"
    ):
        source(tmp_path)


@pytest.mark.parametrize("junk", ["__MACOSX/._train.csv", ".ipynb_checkpoints/train-checkpoint.csv"])
def test_hidden_tables_are_no_data(tmp_path, monkeypatch, junk):
    monkeypatch.setenv("STUDYGROUP_CACHE", str(tmp_path / ".cache"))
    (tmp_path / "train.CSV").write_text("text,label\na,0\nb,1\n")
    (tmp_path / junk).parent.mkdir()
    (tmp_path / junk).write_bytes(b"\0\5\x16\7")
    assert list(silent(tmp_path).train.texts()) == ["a", "b"]


@pytest.mark.filterwarnings("ignore::studygroup.data.NoTestSplitWarning")
def test_a_whole_run_of_rows(tmp_path):
    image_files(tmp_path, {"cat": 12, "dog": 2})
    for i in range(10):
        (tmp_path / "dog" / f"{i}.jfif").write_bytes(encoded(picture(50 + i), "JPEG"))
    data = load(tmp_path, holdout=0)
    assert torch.bincount(data.train.labels).tolist() == [10, 10]


def test_pictures_of_no_class_and_of_no_split_are_named(tmp_path):
    image_files(tmp_path / "train", {"cat": 2, "dog": 2})
    for number in range(3):
        (tmp_path / "train" / f"{number}.png").write_bytes(encoded(picture(number, size=(32, 32)), "PNG"))
    image_files(tmp_path / "eval", {"cat": 1, "dog": 1})
    image_files(tmp_path / "val", {"cat": 1, "dog": 1})
    (tmp_path / "notes").mkdir()
    with pytest.warns(LeftOutWarning) as said:
        assert source(tmp_path).train.labels.tolist() == [0, 0, 1, 1]
    texts = [str(one.message) for one in said]
    assert len(texts) == 2
    assert "train: 3 pictures that lie in no folder of a class are left out (" in texts[0]
    assert ": 1 folders of pictures beside those of splits are left out (eval); move" in texts[1]


def test_test_pictures_without_classes_are_no_test_split(tmp_path):
    """As competitions give them: the validation split is scored on, or with none a part of the training rows."""
    image_files(tmp_path / "train", {"cat": 20, "dog": 20})
    (tmp_path / "test").mkdir()
    (tmp_path / "test/1.png").write_bytes(encoded(picture(1, size=(32, 32)), "PNG"))
    with pytest.warns(LeftOutWarning, match="test is left out: it has no folder of a class"):
        assert source(tmp_path).test is None
    image_files(tmp_path / "val", {"cat": 1, "dog": 2})
    with pytest.warns(LeftOutWarning, match="test is left out"):
        assert source(tmp_path).test.labels.tolist() == [0, 1, 1]
