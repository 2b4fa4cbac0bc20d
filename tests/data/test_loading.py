import datasets
import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from helpers.made_up import image_files, table
from studygroup.data import ArrowSplit, MemorySplit, NoTestSplitWarning, load


@pytest.fixture
def folder(tmp_path):
    """Parquet files of 60 training rows (20 of class 1) and 12 test rows."""
    table([0, 1, 0] * 20).to_parquet(tmp_path / "train.parquet")
    table([0, 1] * 6, start=100).to_parquet(tmp_path / "test.parquet")
    return tmp_path


def everything(split):
    return split[torch.arange(len(split))]


def test_digits_are_the_embedded_default():
    data = load("digits")
    assert data.form.shape == (1, 8, 8)
    assert data.classes == tuple("0123456789")
    assert [len(data.train), len(data.holdout), len(data.test)] == [1347, 150, 300]  # of 1797
    images = torch.cat([everything(s)[0] for s in (data.train, data.holdout, data.test)])
    assert images.dtype == torch.uint8
    assert images.max() == 255
    # 16 grey levels, of which each pixel of the original is one
    assert int(images.long().sum()) == int(np.rint(load_digits().images * 255 / 16).sum())
    shares = torch.bincount(data.test.labels) / 300 - torch.bincount(data.train.labels) / 1347
    assert shares.abs().max() < 0.005


def test_test_rows_never_depend_on_the_seed():
    first, second = load("digits", seed=0), load("digits", seed=1)
    assert torch.equal(everything(first.test)[0], everything(second.test)[0])
    assert not torch.equal(everything(first.holdout)[0], everything(second.holdout)[0])
    few = [load("digits", seed=seed, test_rows=50).test for seed in (0, 1)]
    assert torch.equal(everything(few[0])[0], everything(few[1])[0])


def test_the_same_call_gives_the_same_data():
    first, second = load("digits", seed=3), load("digits", seed=3)
    assert torch.equal(everything(first.train)[0], everything(second.train)[0])
    assert first.form == second.form


def test_statistics_are_those_of_the_training_rows():
    data = load("digits")
    images = everything(data.train)[0].double() / 255
    assert data.form.mean == pytest.approx([images.mean().item()], abs=1e-12)
    assert data.form.std == pytest.approx([images.std(correction=0).item()], abs=1e-12)


@pytest.mark.parametrize(("holdout", "rows"), [(0.1, 150), (100, 100), (0.0, 0), (0, 0), (0.5, 748)])
def test_holdout_is_a_share_or_a_number(holdout, rows):
    data = load("digits", holdout=holdout)
    assert len(data.holdout) == rows
    assert len(data.train) == 1497 - rows


@pytest.mark.parametrize("holdout", [1.0, -0.1, 1497, -1, float("nan")])
def test_holdout_out_of_range(holdout):
    with pytest.raises(ValueError, match=r"holdout is .* of 1497 training rows"):
        load("digits", holdout=holdout)


def test_train_rows_count_the_holdout_too():
    data = load("digits", train_rows=200, test_rows=40, holdout=0.25)
    assert [len(data.train), len(data.holdout), len(data.test)] == [150, 50, 40]
    assert torch.bincount(data.train.labels).min() >= 14


def test_classes_without_training_rows_are_refused():
    with pytest.raises(ValueError, match="of 10 classes, 5 have no row among the 5 to train on"):
        load("digits", train_rows=5, holdout=0)


@pytest.mark.parametrize(("image_size", "shape"), [(16, (1, 16, 16)), ((4, 6), (1, 4, 6))])
def test_image_size(image_size, shape):
    assert load("digits", image_size=image_size, train_rows=100).form.shape == shape


def test_image_size_out_of_range():
    with pytest.raises(ValueError, match="image_size is 0"):
        load("digits", image_size=0)


def test_memory_and_memory_map_give_the_same(folder):
    kept, mapped = load(folder), load(folder, in_memory_bytes=0)
    for name in ("train", "holdout", "test"):
        first, second = getattr(kept, name), getattr(mapped, name)
        assert isinstance(first, MemorySplit)
        assert isinstance(second, ArrowSplit)
        some = torch.tensor([3, 0, 3, 5])
        assert all(map(torch.equal, first[some], second[some]))
        assert torch.equal(first.labels, second.labels)
    assert kept.form == mapped.form


def test_the_limit_counts_all_decoded_images(folder):
    total = (60 + 12) * 3 * 6 * 5
    assert isinstance(load(folder, in_memory_bytes=total).train, MemorySplit)
    assert isinstance(load(folder, in_memory_bytes=total - 1).train, ArrowSplit)


def test_a_missing_test_split_is_cut_and_told(tmp_path):
    image_files(tmp_path / "set", {"cat": 12, "dog": 24})
    with pytest.warns(NoTestSplitWarning, match="set has no test split: 6 of its rows"):
        data = load(tmp_path / "set", holdout=0)
    assert torch.bincount(data.test.labels).tolist() == [2, 4]
    assert len(data.train) == 30


def test_only_the_rows_asked_for_are_decoded(folder, monkeypatch):
    decoded = []
    original = ArrowSplit._decode
    monkeypatch.setattr(ArrowSplit, "_decode", lambda s, row, r: decoded.append(row) or original(s, row, r))
    load(folder, train_rows=12, test_rows=4, holdout=0.25)
    assert len(decoded) == 16


def test_hub_names_go_to_datasets(monkeypatch):
    asked = []
    tables = datasets.DatasetDict(train=table([0, 1] * 5), test=table([0, 1]))
    monkeypatch.setattr(datasets, "load_dataset", lambda name, **_: asked.append(name) or tables)
    assert load("uoft-cs/cifar10", holdout=2).name == "uoft-cs/cifar10"
    assert asked == ["uoft-cs/cifar10"]


def test_real_cifar10_in_part(cifar10_folder):
    data = load(cifar10_folder, train_rows=200, test_rows=50)
    assert data.form.shape == (3, 32, 32)
    assert data.classes[:3] == ("airplane", "automobile", "bird")
    assert torch.bincount(data.test.labels).tolist() == [5] * 10
    assert data.form.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=0.03)


@pytest.mark.slow
def test_real_cifar10_whole(cifar10_folder):
    data = load(cifar10_folder, holdout=0)
    assert [len(data.train), len(data.test)] == [50_000, 10_000]
    assert data.form.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=5e-5)
    assert data.form.std == pytest.approx((0.2470, 0.2435, 0.2616), abs=5e-5)
