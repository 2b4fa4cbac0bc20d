import dataclasses
import functools
import random
import shutil
import subprocess
import sys

import datasets
import pytest
import torch

from helpers.small_run import small
from studygroup.analysis import analyses
from studygroup.analysis.base import load_networks
from studygroup.data import Characters
from studygroup.training import RunFolder, methods, train
from studygroup.training.scores import accuracy


def test_a_run_is_ready_to_be_asked(three):
    with load_networks(three.folder.path, device="cpu") as finished:
        students = finished.students()
        scores = [accuracy(student, finished.batches) for student in students]
        assert tuple(scores) == three.summary.test.students
        assert accuracy(finished.shipped, finished.batches) == three.summary.shipped.test
        assert finished.student == three.summary.shipped.student
        assert finished.rows == 60
        assert not any(network.training for network in (*students, finished.shipped))


def test_held_out_rows_and_some_rows(three):
    with load_networks(three.folder.path, split="holdout") as finished:
        assert finished.rows == 40
        assert accuracy(finished.shipped, finished.batches) == three.summary.shipped.holdout
    with load_networks(three.folder.path, rows=20) as finished:
        made = small()
        data = made.load_data()
        ((some, labels),) = finished.batches
        (again, _), *_ = finished.batches
        assert torch.equal(some, again)
        each, all_of = labels.bincount(minlength=10), data.test.labels.bincount(minlength=10)
        assert (each - all_of / 3).abs().max() < 1  # 20 of 60, each class in proportion
        pixels, _ = data.test[torch.arange(60)]
        whole = {tuple(row.flatten().tolist()) for row in made.build_datamodule(data).inputs(pixels)}
        assert {tuple(row.flatten().tolist()) for row in some} <= whole
    with load_networks(three.folder.path, rows=1000) as finished:
        assert finished.rows == 60


def test_runs_that_lack_something_are_named(three, tmp_path):
    with pytest.raises(ValueError, match=r"holds no finished run: summary\.json is missing; give the folder"):
        analyses["ensemble"](RunFolder(tmp_path))
    with pytest.raises(ValueError, match="rows is 0; give at least 1, or leave it out for all 60"):
        dataclasses.replace(analyses["ensemble"], rows=0)(three.folder)
    run = RunFolder(tmp_path / "run")
    shutil.copytree(three.folder.path, run.path, ignore=shutil.ignore_patterns("checkpoints"))
    with pytest.raises(ValueError, match=r"run/checkpoints has no readable checkpoint; train the run again"):
        analyses["diversity"](run)


def test_texts(tmp_path):
    draw = random.Random(0)
    features = datasets.Features(
        text=datasets.Value("string"), label=datasets.ClassLabel(names=["bad", "good"])
    )
    for name, count in (("train", 80), ("test", 30)):
        texts = ["".join(draw.choice("abc ") for _ in range(draw.randint(5, 40))) for _ in range(count)]
        rows = datasets.Dataset.from_dict(
            {"text": texts, "label": [k % 2 for k in range(count)]}, features=features
        )
        rows.to_parquet(tmp_path / f"{name}.parquet")
    made = small(
        data=str(tmp_path),
        tokenizer=Characters(length=40, full=False),
        model="text_transformer",
        model_options={
            "embedding": 8,
            "hidden": 8,
            "heads": 2,
            "blocks": 2,
            "feed_forward": 16,
            "length": 40,
        },
        recipe=functools.partial(methods.cgl, students=3, probability=0.5),
        train_rows=None,
        test_rows=None,
        epochs=1,
    )
    run = train(made, run_dir=tmp_path / "run", progress_bar=False)
    found = analyses["diversity"](run.folder)
    assert found["rows"] == 30
    assert found["diversity"] == pytest.approx(run.summary.test.diversity, rel=1e-4)
    assert 0 <= analyses["similarity"](run.folder)["similarity"] <= 1


@pytest.mark.slow
def test_what_is_said_of_networks_takes_torch_alone():
    code = (
        "import sys\n"
        "for extra in ('lightning', 'jsonargparse', 'datasets', 'timm', 'torchvision', 'yaml', 'filelock'):\n"
        "    sys.modules[extra] = None\n"
        "import studygroup.analysis as analysis\n"
        "print(*analysis.analyses)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == sorted(analyses)
