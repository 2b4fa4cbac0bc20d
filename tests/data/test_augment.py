import pytest
import torch

from studygroup.data import Normalise, PadCropFlip, identity

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def pixels(*shape):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=rng(99))


def by_loops(images, draws, padding):
    """One pixel after the other, black where the crop leaves the image."""
    count, channels, height, width = images.shape
    result = torch.zeros_like(images)
    for n in range(count):
        down, right, mirrored = draws[n].tolist()
        for c in range(channels):
            for y in range(height):
                for x in range(width):
                    source_y = y + down - padding
                    source_x = (width - 1 - x if mirrored else x) + right - padding
                    if 0 <= source_y < height and 0 <= source_x < width:
                        result[n, c, y, x] = images[n, c, source_y, source_x]
    return result


@pytest.mark.parametrize("padding", [0, 1, 4])
@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("shape", [(9, 3, 6, 5), (4, 1, 8, 8)])
def test_equals_a_loop_over_pixels(padding, flip, shape):
    augment, images = PadCropFlip(padding=padding, flip=flip), pixels(*shape)
    draws = augment._draw(len(images), rng(7))
    result = augment(images, generator=rng(7))
    assert torch.equal(result, by_loops(images, draws, padding))
    assert result.dtype == torch.uint8
    assert result.is_contiguous()


def test_no_crop_lies_beside_its_picture():
    PadCropFlip(padding=4)(pixels(2, 1, 5, 8), generator=rng())
    for padding in (5, 10**6):
        with pytest.raises(ValueError, match=f"padding is {padding} and the pictures have 5 x 8 pixels"):
            PadCropFlip(padding=padding)(pixels(2, 1, 5, 8), generator=rng())


def test_draws_cover_every_offset_and_both_sides():
    draws = PadCropFlip(padding=4)._draw(20_000, rng())
    for column in (0, 1):
        counts = torch.bincount(draws[:, column], minlength=9)
        assert counts.tolist() == pytest.approx([20_000 / 9] * 9, abs=5 * 45)  # sqrt(20000 * 8/81) = 44.4
    assert draws[:, 2].float().mean().item() == pytest.approx(0.5, abs=0.02)


def test_a_step_can_be_replayed():
    images = pixels(32, 3, 8, 8)
    first = PadCropFlip()(images, generator=rng(5))
    assert torch.equal(first, PadCropFlip()(images, generator=rng(5)))
    assert not torch.equal(first, PadCropFlip()(images, generator=rng(6)))


def test_memory_format_of_the_input_does_not_matter():
    images = pixels(8, 3, 8, 8)
    turned = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(PadCropFlip()(images, generator=rng()), PadCropFlip()(turned, generator=rng()))


def test_identity_draws_nothing():
    images, generator = pixels(2, 1, 8, 8), rng(1)
    assert identity(images, generator=generator) is images
    assert torch.equal(generator.get_state(), rng(1).get_state())


def test_normalise_is_its_formula():
    images, mean, std = pixels(5, 3, 4, 6), (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)
    expected = (images.double() / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    result = Normalise(mean, std)(images)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result.double(), expected, atol=1e-6, rtol=1e-6)


def test_normalise_keeps_or_sets_the_memory_format():
    images = pixels(5, 3, 4, 6)
    kept, set_ = Normalise([0.5] * 3, [0.2] * 3), Normalise([0.5] * 3, [0.2] * 3, channels_last=True)
    assert kept(images).is_contiguous()
    assert set_(images).is_contiguous(memory_format=torch.channels_last)
    turned = images.contiguous(memory_format=torch.channels_last)
    assert kept(turned).is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(kept(images), set_(images))


def test_normalise_leaves_the_images_and_has_no_state():
    images = pixels(2, 1, 3, 3)
    before = images.clone()
    normalise = Normalise([0.5], [0.5])
    normalise(images)
    assert torch.equal(images, before)
    assert not normalise.state_dict()


def test_normalise_refuses_a_constant_channel():
    with pytest.raises(ValueError, match="every channel needs one above 0"):
        Normalise([0.5, 0.0], [0.2, 0.0])


@CUDA
def test_device_gives_the_same_images_without_waiting():
    images, augment, normalise = pixels(64, 3, 32, 32), PadCropFlip(), Normalise([0.5] * 3, [0.2] * 3)
    expected = normalise(augment(images, generator=rng()))
    there, normalise = images.cuda(), normalise.cuda()
    torch.cuda.set_sync_debug_mode("error")
    result = normalise(augment(there, generator=rng()))
    torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(result.cpu(), expected)
