import hashlib
import pickle

import datasets
import numpy as np
import PIL.Image
import pytest
import torch
import torchvision.datasets

from helpers.made_up import encoded, image_files, picture, table
from studygroup.data import LeftOutWarning, load
from studygroup.data.places import open_source


def source(spec, image_size=None):
    return open_source(spec, image_size=image_size)


def first_image(split):
    return split[torch.tensor([0])][0][0]


def as_tensor(pixels):
    return torch.from_numpy(pixels).movedim(-1, 0)


def test_parquet_files_by_split(tmp_path):
    table([0, 1]).to_parquet(tmp_path / "train.parquet")
    table([1], start=9).to_parquet(tmp_path / "test.parquet")
    found = source(tmp_path)
    assert found.classes == ("cat", "dog")
    assert found.test.labels.tolist() == [1]
    assert torch.equal(first_image(found.test), as_tensor(picture(9)))


@pytest.mark.parametrize(
    "names",
    [
        ["data/train-00000-of-00002", "data/train-00001-of-00002", "data/validation-00000-of-00001"],
        ["train/0000", "train/0001", "validation/0000"],
    ],
)
def test_the_hubs_layouts(tmp_path, names):
    for number, name in enumerate(names):
        path = tmp_path / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        table([number % 2] * (number + 1)).to_parquet(path)
    found = source(tmp_path)
    assert found.train.labels.tolist() == [0, 1, 1]
    assert found.test.labels.tolist() == [0, 0, 0]


def test_one_parquet_file_of_any_name_is_for_training(tmp_path):
    table([0, 1]).to_parquet(tmp_path / "pets.parquet")
    assert source(tmp_path).test is None


def test_parquet_files_without_training_split(tmp_path):
    for name in ("a", "b"):
        table([0]).to_parquet(tmp_path / f"{name}.parquet")
    with pytest.raises(ValueError, match=r"no training split among a\.parquet, b\.parquet"):
        source(tmp_path)


def test_a_truncated_parquet_file_is_named(tmp_path):
    table([0, 1]).to_parquet(tmp_path / "train.parquet")
    whole = (tmp_path / "train.parquet").read_bytes()
    (tmp_path / "train.parquet").write_bytes(whole[:-40])
    with pytest.raises(ValueError, match=r"train\.parquet is not a whole Parquet file"):
        source(tmp_path)


def test_a_parquet_file_that_is_damaged_within_is_named(tmp_path):
    table([0, 1] * 40).to_parquet(tmp_path / "train.parquet")
    content = bytearray((tmp_path / "train.parquet").read_bytes())
    content[200:400] = b"\xff" * 200
    (tmp_path / "train.parquet").write_bytes(content)
    with pytest.raises(ValueError, match=r"train\.parquet cannot be read \(.*\); copy it again") as caught:
        source(tmp_path)
    assert "DatasetGenerationError" not in str(caught.value)


def test_a_parquet_file_without_rows_is_named(tmp_path):
    table([0, 1]).select([]).to_parquet(tmp_path / "test.parquet")
    table([0, 1]).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(ValueError, match=r"test\.parquet has no rows; give a file with rows, or remove it"):
        source(tmp_path)


def test_class_folders(tmp_path):
    image_files(tmp_path, {"b": 2, "a": 1})  # every file is called test_*.png
    found = source(tmp_path)
    assert found.classes == ("a", "b")
    assert found.train.labels.tolist() == [0, 1, 1]
    assert found.test is None
    assert torch.equal(first_image(found.train), as_tensor(picture(0)))


@pytest.mark.parametrize("name", ["test", "validation", "val"])
def test_class_folders_by_split(tmp_path, name):
    image_files(tmp_path / "train", {"a": 1, "b": 2})
    image_files(tmp_path / name, {"a": 2, "b": 1})
    assert source(tmp_path).test.labels.tolist() == [0, 0, 1]


def test_train_and_test_with_different_classes(tmp_path):
    image_files(tmp_path / "train", {"a": 1, "b": 2})
    image_files(tmp_path / "test", {"a": 1, "c": 1})
    with pytest.raises(ValueError, match=r"differ in the classes \['b', 'c'\]"):
        source(tmp_path)


@pytest.mark.parametrize("counts", [{}, {"a": 1, "b": 0}])
def test_folders_without_images(tmp_path, counts):
    image_files(tmp_path, counts)
    with pytest.raises(ValueError, match="holds neither Parquet files nor images by class"):
        source(tmp_path)


@pytest.mark.parametrize("spec", ["/no/such/folder", "./missing", "~/missing", "a/b/c"])
def test_missing_folders(spec):
    with pytest.raises(ValueError, match="there is no folder"):
        source(spec)


def test_a_file_is_not_a_folder(tmp_path):
    (tmp_path / "x.csv").write_text("a")
    with pytest.raises(ValueError, match="is a file; give the folder"):
        source(tmp_path / "x.csv")


@pytest.mark.parametrize(
    "error", [datasets.exceptions.DatasetNotFoundError("not there"), ConnectionError("no network")]
)
def test_unknown_names(monkeypatch, error):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(ValueError, match=r"cannot load 'cifar11' .* check the spelling and the connection"):
        source("cifar11")


def test_images_of_unequal_size(tmp_path):
    image_files(tmp_path / "set", {"a": 2, "b": 2})
    PIL.Image.fromarray(picture(7, size=(9, 9))).save(tmp_path / "set" / "b" / "z.png")
    with pytest.raises(ValueError, match=r"row 4 is 9 x 9 and that in row 0 is 6 x 5; give image_size="):
        source(tmp_path / "set")
    images, _ = source(tmp_path / "set", image_size=(4, 4)).train[torch.arange(5)]
    assert images.shape == (5, 3, 4, 4)


def test_grey_images_have_one_channel(tmp_path):
    image_files(tmp_path, {"a": 1, "b": 2}, grey=True)
    found = source(tmp_path)
    assert found.train.shape == (1, 6, 5)
    assert torch.equal(first_image(found.train)[0], torch.from_numpy(picture(0, grey=True)))


def test_grey_among_colour_becomes_colour(tmp_path):
    image_files(tmp_path, {"a": 1, "b": 1})
    PIL.Image.fromarray(picture(3, grey=True)).save(tmp_path / "a" / "0.png")
    images, _ = source(tmp_path).train[torch.arange(3)]
    assert images.shape == (3, 3, 6, 5)
    assert torch.equal(images[0], torch.from_numpy(picture(3, grey=True)).expand(3, 6, 5))


def official(folder, name, files, *, names_key, names, label_key):
    """Files in the layout of the CIFAR archives, with their sums."""
    (folder / name).mkdir()
    sums = {}
    for start, (file, labels) in enumerate(files.items()):
        rows = [picture(start, size=(32, 32)).transpose(2, 0, 1).ravel() for _ in labels]
        (folder / name / file).write_bytes(pickle.dumps({"data": np.stack(rows), label_key: labels}))
    (folder / name / "meta").write_bytes(pickle.dumps({names_key: names}))
    for file in [*files, "meta"]:
        sums[file] = hashlib.md5((folder / name / file).read_bytes()).hexdigest()
    return sums


@pytest.mark.parametrize(
    ("reader", "folder_name", "label_key"),
    [
        (torchvision.datasets.CIFAR10, "cifar-10-batches-py", "labels"),
        (torchvision.datasets.CIFAR100, "cifar-100-python", "fine_labels"),
    ],
)
def test_official_cifar_layout(tmp_path, monkeypatch, reader, folder_name, label_key):
    files = {"train": [1, 0], "test": [1]}
    keys = {"names_key": "names", "names": ["x", "y"], "label_key": label_key}
    sums = official(tmp_path, folder_name, files, **keys)
    monkeypatch.setattr(reader, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(reader, "test_list", [["test", sums["test"]]])
    monkeypatch.setattr(reader, "meta", {"filename": "meta", "key": "names", "md5": sums["meta"]})
    found = source(tmp_path)
    assert found.classes == ("x", "y")
    assert found.train.labels.tolist() == [1, 0]
    assert torch.equal(first_image(found.test), as_tensor(picture(1, size=(32, 32))))
    (tmp_path / folder_name / "test").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="not the official release: a file is missing or damaged"):
        source(tmp_path)


def test_one_corrupt_image_is_named(tmp_path):
    records = [{"bytes": encoded(picture(i, size=(40, 40))), "path": f"{i}.png"} for i in range(4)]
    records[2]["bytes"] = records[2]["bytes"][:-600]
    features = datasets.Features(img=datasets.Image(), label=datasets.ClassLabel(names=["a", "b"]))
    whole = datasets.Dataset.from_dict({"img": records, "label": [0, 1, 0, 1]}, features=features)
    whole.to_parquet(tmp_path / "train.parquet")
    whole.to_parquet(tmp_path / "test.parquet")
    with pytest.raises(ValueError, match=r"train, row 2 \(2\.png\): the image cannot be read"):
        load(tmp_path, holdout=0)


def test_copies_of_a_split_in_another_folder_are_refused(tmp_path):
    """Test rows would be trained on."""
    (tmp_path / "old").mkdir()
    for name in ("train", "test", "old/train"):
        table([0, 1]).to_parquet(tmp_path / f"{name}.parquet")
    with pytest.raises(ValueError, match=r"files of the split 'train' in several folders \(\., old\)"):
        source(tmp_path)


def test_files_of_no_split_are_named_and_splits_have_any_case(tmp_path):
    table([0, 1]).to_parquet(tmp_path / "train.parquet")
    table([1, 1]).to_parquet(tmp_path / "train_2.parquet")
    table([1]).to_parquet(tmp_path / "Test.parquet")
    with pytest.warns(LeftOutWarning, match=r"1 files that belong to no split .* \(train_2\.parquet\)"):
        found = source(tmp_path)
    assert found.train.labels.tolist() == [0, 1]
    assert found.test.labels.tolist() == [1]
