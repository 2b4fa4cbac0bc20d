"""The examples beyond one label a picture: scores against loops, disjoint rows, and a short run where the data is."""

import importlib.util
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytestmark = pytest.mark.slow  # whole runs

EXAMPLES = Path(__file__).parent.parent / "examples"
CIFAR100 = EXAMPLES.parent.parent / "shared" / "data" / "cifar100_5bit"


@pytest.fixture(scope="module")
def segmentation():
    return runpy.run_path(str(EXAMPLES / "segmentation.py"))


@pytest.fixture(scope="module")
def multi_label():
    return runpy.run_path(str(EXAMPLES / "multi_label.py"))


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Give a package of the same name, with round nuclei in noise."""
    folder = tmp_path / "stardist" / "data" / "images"
    folder.mkdir(parents=True)
    (tmp_path / "stardist" / "__init__.py").write_text("raise ImportError('it is not imported')")
    rows, columns = np.mgrid[:512, :512]
    nuclei = ((rows % 32 - 16) ** 2 + (columns % 32 - 16) ** 2 < 100) * (1 + rows // 32 * 16 + columns // 32)
    noise = np.random.default_rng(0).integers(0, 30, nuclei.shape)
    for name, values in (("mask2d", nuclei), ("img2d", noise + 100 * (nuclei > 0))):
        Image.fromarray(values.astype("uint16")).save(folder / f"{name}.tif")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    return nuclei


def test_classes_of_pixels_are_those_of_a_loop(segmentation):
    draw = torch.Generator().manual_seed(0)
    nuclei = torch.randint(0, 3, (3, 3), generator=draw).repeat_interleave(4, 0).repeat_interleave(4, 1)
    found = segmentation["labels_of"](nuclei)
    for i in range(12):
        for j in range(12):
            around = [nuclei[max(i - n, 0) : i + n + 1, max(j - n, 0) : j + n + 1] for n in (1, 2)]
            if nuclei[i, j] == 0:
                expected = 255 if (around[0] != 0).any() else 0
            else:
                expected = 2 if (around[1] != nuclei[i, j]).any() else 1
            assert found[i, j] == expected
    assert set(found.unique().tolist()) == {0, 1, 2, 255}


def test_mean_iou_is_that_of_a_loop(segmentation):
    draw = torch.Generator().manual_seed(0)
    predicted, y = (torch.randint(0, 3, (2, 6, 5), generator=draw) for _ in range(2))
    y[0, :2] = 255
    mean, each = segmentation["mean_iou"](predicted, y)
    for number, found in enumerate(each):
        both = either = 0
        for said, true in zip(predicted.flatten().tolist(), y.flatten().tolist(), strict=True):
            if true != 255:
                both += said == number == true
                either += number in (said, true)
        assert found == pytest.approx(both / either)
    assert mean == pytest.approx(sum(each) / 3)


def test_areas_are_apart_and_those_of_the_test_are_the_same_for_every_seed(segmentation, pictures):
    x, y = segmentation["areas"](segmentation["folder"]())
    assert x.shape == (16, 1, 112, 112)
    assert y.shape == (16, 112, 112)
    assert (y[5].numpy() == 255).any()
    inside = pictures[128:240, 128:240]
    assert ((y[5].numpy() % 255 > 0) == (inside > 0)).all()
    splits = [segmentation["split"](16, seed) for seed in range(3)]
    for parts in splits:
        numbers = torch.cat(list(parts.values())).tolist()
        assert len(set(numbers)) == len(numbers) == 12
        assert parts["test"].tolist() == splits[0]["test"].tolist()
    assert len({tuple(parts["train"].tolist()) for parts in splits}) > 1


def test_segmentation_trains_and_says_what_it_found(segmentation, pictures, capsys):
    found = segmentation["main"]([0], updates=2, methods=["plain", "cl_ilr, 3 decoders"])
    assert [len(scores[0]) for scores in found.values()] == [4, 4]
    said = capsys.readouterr().out
    for mean, *_ in (scores[0] for scores in found.values()):
        assert f"| {100 * mean:.1f} |" in said
    assert "±" not in said  # one seed has no interval


def test_without_the_package_the_example_says_how_to_get_it(segmentation, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="pip install --no-deps stardist"):
        segmentation["main"]([0], updates=1)


def test_mean_average_precision_is_that_of_a_loop(multi_label):
    draw = torch.Generator().manual_seed(0)
    logits, y = torch.randn(12, 4, generator=draw), (torch.rand(12, 4, generator=draw) < 0.4).float()
    expected = []
    for label in range(4):
        ranked = sorted(range(12), key=lambda row: -logits[row, label])
        hits = [rank for rank, row in enumerate(ranked, 1) if y[row, label]]
        expected.append(sum(number / rank for number, rank in enumerate(hits, 1)) / len(hits))
    assert multi_label["mean_average_precision"](logits, y) == pytest.approx(sum(expected) / 4)


def test_each_picture_has_its_class_and_its_superclass(multi_label):
    if not CIFAR100.is_dir():
        pytest.skip("the data set cifar100_5bit is not beside the repository")
    x, y = multi_label["read"](CIFAR100, "test")
    assert x.shape == (2000, 3, 16, 16)
    assert (y.sum(0) == torch.tensor([500.0] * 4 + [100.0] * 20)).all()
    assert (y[:, :4].sum(1) == 1).all()
    assert (y[:, 4:].sum(1) == 1).all()
    of = y[:, :4].T @ y[:, 4:]  # each class lies in one superclass
    assert ((of == 100).sum(1) == 5).all()
    train, held_out = multi_label["draw"](y, 0)
    assert len(train) == 800
    assert len(held_out) == 400
    assert not set(train.tolist()) & set(held_out.tolist())


def test_where_the_pictures_are_missing_it_says_where_to_get_them(multi_label, tmp_path):
    with pytest.raises(SystemExit, match=r"no train\.parquet in .*; get CIFAR-100"):
        multi_label["main"](tmp_path, [0])
