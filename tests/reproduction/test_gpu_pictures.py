"""The pictures of the GPU command: packed without loss, read where torch is alone."""

import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import torch
from made_up_pictures import made_up

from helpers.made_up import image_files
from reproduction.gpu import prepare
from reproduction.gpu.codec import pack, unpack
from reproduction.gpu.pictures import SPLITS, crop_and_flip, load, save

pytestmark = pytest.mark.slow  # whole runs

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("size", [(5, 3, 8, 8), (3, 3, 4, 7), (1, 3, 1, 1)])
def test_packing_loses_nothing(size):
    images = torch.randint(256, size, generator=torch.Generator().manual_seed(0)).to(torch.uint8) & 0xF8 | 4
    assert torch.equal(unpack(pack(images), CPU), images)
    grey = torch.full(size, 132, dtype=torch.uint8)
    assert torch.equal(unpack(pack(grey), CPU), grey)


def test_packing_is_smaller_than_five_bits_and_refuses_more():
    images = made_up(rows=(300, 0, 0)).images["train"]
    smooth = torch.nn.functional.avg_pool2d(images.float(), 3, stride=1, padding=1).to(torch.uint8) & 0xF8 | 4
    packed = pack(smooth)
    assert 8 * packed["words"].nbytes < 4 * smooth.numel()
    with pytest.raises(ValueError, match="more than 5 bits a channel"):
        pack(images + 1)


def test_a_damaged_file_is_refused(tmp_path):
    pictures = made_up(rows=(4, 2, 2))
    save(pictures, tmp_path / "p.pt")
    found = load(tmp_path / "p.pt", CPU)
    for split in SPLITS:
        assert torch.equal(found.images[split], pictures.images[split])
        assert torch.equal(found.labels[split], pictures.labels[split])
    content = torch.load(tmp_path / "p.pt", weights_only=True)
    content["pixels"]["words"][10] ^= 1
    torch.save(content, tmp_path / "p.pt")
    with pytest.raises(ValueError, match="other pixels than were packed"):
        load(tmp_path / "p.pt", CPU)


def test_crop_and_flip_are_those_of_a_loop():
    images = torch.arange(6 * 3 * 5 * 4).view(6, 3, 5, 4).to(torch.uint8)
    found = crop_and_flip(images, generator=torch.Generator().manual_seed(3), padding=2)
    draw = torch.Generator().manual_seed(3)
    shift = torch.randint(5, (6, 2), generator=draw).tolist()
    mirrored = (torch.rand(6, 1, generator=draw) < 0.5).flatten().tolist()
    nothing = torch.zeros(3, dtype=torch.uint8)
    assert {True, False} == set(mirrored)
    for n, ((down, across), mirror) in enumerate(zip(shift, mirrored, strict=True)):
        for row, column in product(range(5), range(4)):
            i, j = row + down - 2, (3 - column if mirror else column) + across - 2
            inside = 0 <= i < 5 and 0 <= j < 4
            assert torch.equal(found[n, :, row, column], images[n, :, i, j] if inside else nothing)


def test_what_is_prepared_is_enough_where_torch_is_alone(tmp_path):
    for part, count, start in (("train", 6, 0), ("test", 3, 50)):
        image_files(tmp_path / "set" / part, {"cat": count, "dog": count}, start=start, size=(6, 6))
    data, packages = prepare.prepare(tmp_path / "set", tmp_path / "out", holdout=4, seed=0)
    found = load(data, CPU)
    assert {split: len(found.labels[split]) for split in SPLITS} == {"train": 8, "holdout": 4, "test": 6}
    expected = prepare.read(tmp_path / "set", holdout=4, seed=0)
    assert found.classes == expected.classes == 2
    for split in SPLITS:
        assert torch.equal(found.images[split], expected.images[split])
        assert ((found.images[split] & 7) == 4).all()
    code = (
        "import sys;"
        "gone = ('lightning', 'torchvision', 'timm', 'datasets', 'PIL', 'pyarrow', 'yaml', 'jsonargparse', 'scipy');"
        "sys.modules |= dict.fromkeys(gone);"
        "import jaxtyping, reproduction.gpu.command; print(jaxtyping.__file__)"
    )
    paths = {"PYTHONPATH": f"{ROOT / 'src'}:{packages}"}
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=paths, capture_output=True, text=True)
    assert said.stdout.strip() == str(packages / "jaxtyping" / "__init__.py"), said.stderr
