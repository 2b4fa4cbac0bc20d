"""The example of fine-tuning: disjoint rows, frozen stages that stay, heads that differ, and a short run."""

import io
import runpy
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from PIL import Image

import studygroup as sg
from studygroup.models import cifar_resnet8

EXAMPLE = Path(__file__).parent.parent / "examples" / "fine_tuning.py"


@pytest.fixture(scope="module")
def example():
    return runpy.run_path(str(EXAMPLE))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures of 72 classes: noise of a brightness of their own, 20 of each to train on and two to test."""
    found = tmp_path_factory.mktemp("cifar100")
    draw = np.random.default_rng(0)
    for part, count in (("train", 20), ("test", 2)):
        labels = np.arange(72).repeat(count)
        images = []
        for label in labels:
            stream = io.BytesIO()
            pixels = (draw.integers(0, 60, (32, 32, 3)) + 2 * label).astype("uint8")
            Image.fromarray(pixels).save(stream, "bmp")
            images.append({"bytes": stream.getvalue(), "path": None})
        table = pyarrow.table({"img": images, "fine_label": labels})
        pyarrow.parquet.write_table(table, found / f"{part}.parquet")
    return found


@pytest.mark.slow
def test_the_rows_of_a_seed_overlap_nowhere(example, folder):
    rows = example["read"](folder, "train", example["NEW"])
    assert rows.tensors[0].shape == (400, 3, 16, 16)
    assert rows.tensors[1].bincount().tolist() == [20] * 20
    parts = example["draw"](rows, 0)
    for part in parts:
        assert part.tensors[1].bincount().tolist() == [10] * 20
    seen = [tuple(x.flatten().tolist()) for part in parts for x in part.tensors[0]]
    assert len(set(seen)) == len(seen) == 400
    other = example["draw"](rows, 1)[0]
    assert not torch.equal(other.tensors[0], parts[0].tensors[0])
    with pytest.raises(SystemExit, match="get CIFAR-100 as the head of this file says"):
        example["read"](folder / "train.parquet", "train", example["NEW"])


@pytest.mark.parametrize(
    "name",
    [
        "dml, 3 students",
        pytest.param("cl_ilr, 3 branches", marks=pytest.mark.slow),
        pytest.param("cgl, 4 paths", marks=pytest.mark.slow),
        pytest.param("self_distillation", marks=pytest.mark.slow),
    ],
)
def test_frozen_stages_stay_and_everything_else_learns(name, example, folder, recwarn):
    torch.manual_seed(0)
    trained = cifar_resnet8(50)
    rows, _ = example["draw"](example["read"](folder, "train", example["NEW"]), 0)
    task = example["METHODS"][name][1](example["network"](trained))
    students = [task.group.export(k) for k in range(task.group.students)]
    for student in students:  # they start from the weights, heads apart
        assert torch.equal(student.layer3[0].conv1.weight, trained.layer3[0].conv1.weight)
    if name not in ("cgl, 4 paths", "self_distillation"):
        assert len({tuple(student.fc.weight.flatten().tolist()) for student in students}) == 3
    example["fit"](task, rows, epochs=1, rate=1e-3, batch=32)
    before = trained.state_dict()
    for k in range(task.group.students):
        after = task.group.export(k).state_dict()
        kept = [key for key in before if key.startswith(example["FROZEN"])]
        assert all(torch.equal(after[key], before[key]) for key in kept)
        assert len(kept) == 18
        assert not torch.equal(after["layer3.0.conv1.weight"], before["layer3.0.conv1.weight"])
        assert not torch.equal(after["layer3.0.bn1.running_mean"], before["layer3.0.bn1.running_mean"])
    assert not [one for one in recwarn if issubclass(one.category, sg.EqualStudentsWarning)]


@pytest.mark.slow
def test_it_trains_and_says_what_it_found(example, folder, capsys):
    found = example["main"](folder, [0], epochs=1, before=1, methods=["plain", "dml, 3 students"])
    said = capsys.readouterr().out
    assert list(found) == ["from scratch", "plain", "dml, 3 students"]
    for scores in found.values():
        assert f"| {100 * scores[0]:.1f} |" in said
    assert "±" not in said  # one seed has no interval
