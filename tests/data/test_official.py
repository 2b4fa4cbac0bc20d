"""STL-10 and ImageNet32 in their authors' own formats."""

import os
import pickle
import weakref

import numpy as np
import pytest
import torch
import torchvision.datasets

from helpers.made_up import picture, table
from helpers.official_files import as_compressed_npz, as_npz, as_pickle, content, imagenet32, stl10
from studygroup.data import arrays, load, official
from studygroup.data.images import resize
from studygroup.data.places import open_source


def source(spec, image_size=None):
    return open_source(spec, image_size=image_size)


def pixels(*numbers, size):
    return torch.stack([torch.from_numpy(picture(n, size=(size, size))).movedim(-1, 0) for n in numbers])


def everything(split):
    return split[torch.arange(len(split))]


@pytest.fixture(scope="module")
def stl10_folder(tmp_path_factory):
    return stl10(tmp_path_factory.mktemp("stl") / "stl10_binary", [1, 3, 2, 1], [2, 3])


def test_stl10_pixels_and_labels(stl10_folder):
    for spec in (stl10_folder, stl10_folder.parent):
        found = source(spec)
        assert (found.name, found.classes) == ("stl10", ("airplane", "bird", "car"))
        images, labels = everything(found.train)
        assert torch.equal(images, pixels(0, 1, 2, 3, size=96))
        assert labels.tolist() == [0, 2, 1, 0]
        images, labels = everything(found.test)
        assert torch.equal(images, pixels(4, 5, size=96))
        assert labels.tolist() == [1, 2]


def test_stl10_as_torchvision_reads_it(stl10_folder, monkeypatch):
    monkeypatch.setattr(torchvision.datasets.STL10, "_check_integrity", lambda _: True)
    found = source(stl10_folder)
    for split, ours in (("train", found.train), ("test", found.test)):
        theirs = torchvision.datasets.STL10(str(stl10_folder.parent), split=split)
        assert torch.equal(everything(ours)[0], torch.from_numpy(theirs.data.copy()))
        assert ours.labels.tolist() == theirs.labels.tolist()


def test_stl10_through_the_door(stl10_folder):
    data = load(stl10_folder, holdout=1, train_rows=None, image_size=(8, 6), seed=1)
    assert data.form.shape == (3, 8, 6)
    rows = data.train_truth.rows.tolist()
    assert torch.equal(everything(data.train)[0], resize(pixels(*rows, size=96), (8, 6)))
    assert torch.equal(everything(data.test)[0], resize(pixels(4, 5, size=96), (8, 6)))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda f: os.truncate(f / "train_X.bin", 3 * 27648 + 5),
            r"train_X\.bin has 82949 bytes, .* need 110592",
        ),
        (
            lambda f: (f / "train_y.bin").write_bytes(bytes([1, 2])),
            r"train_X\.bin has 110592 bytes, .* need 55296",
        ),
        (lambda f: (f / "train_y.bin").write_bytes(bytes([0, 1, 2, 3])), "labels are 0 to 3 .* from 1 to 3"),
        (lambda f: (f / "test_y.bin").write_bytes(bytes([1, 4])), r"test_y\.bin: the labels are 1 to 4"),
        (lambda f: (f / "test_y.bin").write_bytes(b""), r"test_y\.bin: the labels are none"),
        (lambda f: (f / "test_X.bin").unlink(), r"not the whole of STL-10 .*test_X\.bin"),
        (lambda f: (f / "class_names.txt").unlink(), r"not the whole of STL-10 .*class_names\.txt"),
    ],
)
def test_damaged_stl10_files_are_named(tmp_path, damage, message):
    stl10(tmp_path, [1, 3, 2, 1], [2, 3])
    damage(tmp_path)
    with pytest.raises(ValueError, match=message):
        source(tmp_path)


BATCHES = [[1 + 100 * i, 1000 - i] for i in range(10)]  # pictures 0 to 19
VALIDATION = [7, 1000, 1]  # pictures 20 to 22


@pytest.mark.parametrize(
    "write", [as_npz, as_compressed_npz, as_pickle(2), as_pickle(4), as_pickle(5)], ids=lambda w: w.__name__
)
@pytest.mark.parametrize("places", [("", ""), ("train", "val")])
def test_imagenet32_pixels_and_labels(tmp_path, write, places):
    found = source(imagenet32(tmp_path, BATCHES, VALIDATION, write=write, places=places))
    assert found.name == "imagenet32"
    assert (len(found.classes), found.classes[0], found.classes[-1]) == (1000, "1", "1000")
    images, labels = everything(found.train)
    assert torch.equal(images, pixels(*range(20), size=32))
    assert labels.tolist() == [label - 1 for batch in BATCHES for label in batch]
    images, labels = everything(found.test)
    assert torch.equal(images, pixels(20, 21, 22, size=32))
    assert labels.tolist() == [6, 999, 0]
    some = torch.tensor([19, 0, 7, 0])
    assert torch.equal(found.train.take(some)[torch.tensor([2, 0, 3])][0], pixels(7, 19, 0, size=32))


def test_pickles_of_python_2(tmp_path):
    """Written byte by byte: a dict with an array as text, which is bytes in Python 2."""
    imagenet32(tmp_path, BATCHES, VALIDATION, write=as_pickle(2))
    made = content(VALIDATION, 20)
    data = made["data"].tobytes()
    text = (
        b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x03M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + len(data).to_bytes(4, "little")
        + data
        + b"tbU\x06labels](K\x07M\xe8\x03K\x01eu."
    )
    (tmp_path / "val_data").write_bytes(text)
    images, labels = everything(source(tmp_path).test)
    assert torch.equal(images, pixels(20, 21, 22, size=32))
    assert labels.tolist() == [6, 999, 0]


def every_class(folder, write=as_npz):
    """Ten batches in which each of the 1000 classes has two pictures, all of one colour: its number / 4."""
    folder.mkdir(exist_ok=True)
    for i in range(10):
        labels = np.arange(1 + 100 * i, 101 + 100 * i).repeat(2)
        grey = (labels // 4).astype(np.uint8)
        write(folder / f"train_data_batch_{i + 1}", {"data": np.tile(grey[:, None], 3072), "labels": labels})
    write(folder / "val_data", {"data": np.zeros((2, 3072), np.uint8), "labels": np.array([1, 2])})
    return folder


def test_imagenet32_through_the_door_reads_one_file_at_a_time(tmp_path, monkeypatch):
    every_class(tmp_path)
    read, alive, original = [], [], official.array

    def counted(path, key):
        found = original(path, key)
        if key == "data":
            assert not any(before() is not None for before in alive), "the file before is still in memory"
            alive.append(weakref.ref(found if found.base is None else found.base))  # what owns the memory
            read.append(path.stem)
        return found

    monkeypatch.setattr(official, "array", counted)
    data = load(tmp_path, holdout=500, in_memory_bytes=0)  # raw files come into memory in any case
    assert read == [*(f"train_data_batch_{i + 1}" for i in range(10)), "val_data"]
    for split, true in ((data.train, data.train_truth), (data.holdout, data.holdout_truth)):
        images, labels = everything(split)
        assert torch.equal(labels, true.rows // 2)
        assert torch.equal(
            images, ((labels + 1) // 4).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 32, 32)
        )
    assert [len(data.train), len(data.holdout), len(data.test)] == [1500, 500, 2]


def test_files_without_wanted_rows_are_not_read(tmp_path):
    found = source(imagenet32(tmp_path, BATCHES, VALIDATION)).train
    for number in (1, 2, 4, 5, 6, 7, 8, 9, 10):
        (tmp_path / f"train_data_batch_{number}.npz").unlink()
    assert torch.equal(found[torch.tensor([5, 4, 5])][0], pixels(5, 4, 5, size=32))


@pytest.mark.parametrize("write", [as_npz, as_pickle(4)])
def test_damaged_imagenet32_files_are_named(tmp_path, write):
    end = ".npz" if write is as_npz else ""
    file = tmp_path / f"train_data_batch_3{end}"

    def refused(message, *, when_read=False):
        with pytest.raises(ValueError, match=message):
            everything(source(tmp_path).train) if when_read else source(tmp_path)
        imagenet32(tmp_path, BATCHES, VALIDATION, write=write)

    imagenet32(tmp_path, BATCHES, VALIDATION, write=write)
    for cut in (20, 3000):
        os.truncate(file, file.stat().st_size - cut)
        refused(rf"train_data_batch_3{end} cannot be read")
    file.write_bytes(b"")
    refused(rf"train_data_batch_3{end} cannot be read")
    write(tmp_path / "train_data_batch_3", {"data": np.zeros((1, 3072), np.uint8)})
    refused("no array 'labels'")
    for label in (0, 1001):
        write(tmp_path / "train_data_batch_3", content([5, label], 4))
        refused(rf"train_data_batch_3{end}: the labels are .* not class numbers from 1 to 1000")
    write(tmp_path / "train_data_batch_3", content([5, 6], 4, size=16))
    refused(r"uint8 of shape \(2, 768\), not uint8 of shape \(2, 3072\)", when_read=True)
    write(tmp_path / "train_data_batch_3", content([5, 6], 4) | {"labels": np.array([1, 2, 3])})
    refused(r"shape \(2, 3072\), not uint8 of shape \(3, 3072\)", when_read=True)
    write(tmp_path / "train_data_batch_3", content([5, 6], 4) | {"data": np.zeros((2, 3072))})
    refused(r"float64 of shape \(2, 3072\), not uint8", when_read=True)
    file.unlink()
    refused(r"9 of 10 files .* and a file val_data")
    (tmp_path / f"val_data{end}").unlink()
    refused("10 of 10 files .* and no file val_data")


class Harm:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (self.path,))


def test_a_pickle_cannot_run_code(tmp_path):
    imagenet32(tmp_path, BATCHES, VALIDATION, write=as_pickle(2))
    made = content(VALIDATION, 20) | {"extra": Harm(str(tmp_path / "harm"))}
    (tmp_path / "val_data").write_bytes(pickle.dumps(made))
    with pytest.raises(
        ValueError, match=r"val_data cannot be read.*asks for posix\.mkdir, which no array needs"
    ):
        source(tmp_path)
    assert not (tmp_path / "harm").exists()


def test_an_archive_cannot_run_code(tmp_path):
    imagenet32(tmp_path, BATCHES, VALIDATION)
    harm = np.array([Harm(str(tmp_path / "harm"))], dtype=object)
    np.savez(tmp_path / "val_data.npz", labels=harm, data=harm)
    with pytest.raises(ValueError, match=r"val_data\.npz cannot be read.*allow_pickle"):
        source(tmp_path)
    assert not (tmp_path / "harm").exists()


def test_arrays_of_every_numpy(tmp_path):
    """The names under which NumPy 1 pickled arrays, which NumPy 2 gives others."""
    made = pickle.dumps({"labels": np.arange(3)}, protocol=2)
    for old, new in ((b"numpy._core", b"numpy.core"), (b"numpy.core", b"numpy._core")):
        (tmp_path / "batch").write_bytes(made.replace(old, new))
        assert arrays.array(tmp_path / "batch", "labels").tolist() == [0, 1, 2]


def test_test_labels_that_are_withheld_give_way_to_validation(tmp_path):
    table([0, 1, 0]).to_parquet(tmp_path / "train.parquet")
    table([-1, -1], start=30).to_parquet(tmp_path / "test.parquet")
    with pytest.raises(ValueError, match="withheld"):
        source(tmp_path)
    table([1, 0, 1], start=40).to_parquet(tmp_path / "validation.parquet")
    assert source(tmp_path).test.labels.tolist() == [1, 0, 1]
    table([0, 0], start=30).to_parquet(tmp_path / "test.parquet")
    assert source(tmp_path).test.labels.tolist() == [0, 0]
