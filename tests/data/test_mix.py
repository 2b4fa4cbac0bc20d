"""MixUp and CutMix by their definition, and torchvision's transforms as an augmentation."""

import math

import pytest
import torch
import torch.nn.functional as F
from torchvision.transforms import v2

from studygroup.data import CutMix, MixUp, TorchVision


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(rows=6, size=9):
    images = torch.randn(rows, 3, size, size, generator=draw(1))
    return images, torch.arange(rows) % 4


def test_mixup_is_that_of_torchvision():
    images, y = batch()
    mixed, labels = MixUp(alpha=0.7)(images, y, classes=4, owner=None, generator=draw(3))
    share = float(((mixed - images.roll(1, 0)) / (images - images.roll(1, 0))).median())
    assert 0 < share < 1
    theirs = v2.MixUp(num_classes=4)
    expected = [theirs.transform(one, {"lam": share, "labels": y, "batch_size": 6}) for one in (images, y)]
    torch.testing.assert_close(mixed, expected[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(labels, expected[1], atol=1e-4, rtol=1e-4)


def test_cutmix_labels_rows_by_the_area_of_each_picture():
    images, y = batch()
    cut = set()
    for seed in range(20):
        mixed, labels = CutMix()(images, y, classes=4, owner=None, generator=draw(seed))
        own = (mixed == images).all(1).float().mean((1, 2))
        other = (mixed == images.roll(1, 0)).all(1).float().mean((1, 2))
        torch.testing.assert_close(own + other, torch.ones(6))
        expected = own[:, None] * F.one_hot(y, 4) + other[:, None] * F.one_hot(y.roll(1), 4)
        torch.testing.assert_close(labels, expected)
        cut.add(round(float(other[0]), 3))
    assert len(cut) > 5


@pytest.mark.parametrize("mix", [MixUp(alpha=1.0), CutMix()])
def test_rows_are_mixed_with_rows_of_the_same_student_alone(mix):
    owner = torch.tensor([0, 1, 0, 2, 1, 0])
    images = owner.float().view(-1, 1, 1, 1).expand(6, 1, 8, 8).contiguous()
    mixed, labels = mix(images, owner, classes=3, owner=owner, generator=draw(5))
    torch.testing.assert_close(mixed, images)
    torch.testing.assert_close(labels, F.one_hot(owner, 3).float())


def test_a_share_of_batches_is_mixed_and_a_draw_repeats():
    images, y = batch()
    mix = MixUp(alpha=1.0, p=0.5)
    found = [mix(images, y, classes=4, owner=None, generator=draw(k)) for k in range(60)]
    plain = sum(torch.equal(mixed, images) for mixed, _ in found)
    assert abs(plain - 30) < 3 * math.sqrt(15)
    again = mix(images, y, classes=4, owner=None, generator=draw(7))
    assert torch.equal(found[7][0], again[0])
    assert torch.equal(found[7][1], again[1])


@pytest.mark.parametrize("wrong", [{"alpha": 0.0}, {"p": 1.5}, {"alpha": math.nan}])
def test_shares_that_are_none_are_refused(wrong):
    for kind in (MixUp, CutMix):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            kind(**wrong)


@pytest.mark.usefixtures("unchecked")
def test_texts_are_not_mixed():
    with pytest.raises(ValueError, match="leave `mix` out"):
        MixUp()({"input_ids": torch.zeros(2, 3)}, torch.zeros(2), classes=2, owner=None, generator=draw())


def test_transforms_of_torchvision_change_each_picture_by_itself_as_the_draw_says():
    images = torch.randint(256, (1, 3, 16, 16), generator=draw(), dtype=torch.uint8).expand(8, -1, -1, -1)
    augment = TorchVision(transforms=["RandAugment", {"RandomErasing": {"p": 0.5}}])
    before = torch.get_rng_state()
    first, again, other = (augment(images, generator=draw(seed)) for seed in (2, 2, 3))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len({one.numpy().tobytes() for one in first}) > 4
    assert first.dtype == torch.uint8
    flipped = TorchVision(transforms=[{"RandomHorizontalFlip": {"p": 1.0}}])(images, generator=draw())
    assert torch.equal(flipped, images.flip(-1))


@pytest.mark.parametrize(
    ("transforms", "said"),
    [
        (["RandAugmet"], "near: 'RandAugment'"),
        (["MixUp"], "--mix MixUp"),
        ("RandAugment", "give a list"),
        ([], "give a list"),
        ([{"RandomErasing": {"q": 1}}], "refuses its arguments"),
        ([{"a": {}, "b": {}}], "a mapping of one name"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_transforms_that_are_none_are_refused(transforms, said):
    with pytest.raises(ValueError, match=said):
        TorchVision(transforms=transforms)


def test_a_transform_keeps_size_and_type():
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    for one in ({"Resize": {"size": 4}}, {"ToDtype": {"dtype": torch.float32}}):
        with pytest.raises(ValueError, match="keeps size and type"):
            TorchVision(transforms=[one])(images, generator=draw())
