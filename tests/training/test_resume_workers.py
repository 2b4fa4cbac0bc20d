"""A run that is resumed ends as the one that was not, whatever loads its rows and in however many processes."""

import functools

import datasets
import pytest

from helpers.made_up import image_files, table
from helpers.small_run import small, whole_and_resumed
from studygroup.data import Characters, PadCropFlip, SymmetricNoise
from studygroup.training import methods, train

OWN = functools.partial(methods.cgl, students=2)
SHARED = functools.partial(methods.dml, students=2)


def pictures(folder):
    """A table that stays a memory map."""
    table([0, 1] * 40).to_parquet(folder / "train.parquet")
    table([0, 1] * 10, start=99).to_parquet(folder / "test.parquet")
    return {"data": str(folder), "in_memory_bytes": 0}


def files(folder):
    """A folder of pictures by class, decoded on access."""
    for number, part in enumerate(("train", "test")):
        image_files(folder / part, {"cat": 40 - 30 * number, "dog": 40 - 30 * number}, start=99 * number)
    return {"data": str(folder), "in_memory_bytes": 0}


def texts(folder):
    """Texts of different lengths, whose steps are made of similar ones."""
    features = datasets.Features(text=datasets.Value("string"), label=datasets.ClassLabel(names=["a", "b"]))
    for name, count in (("train", 80), ("test", 20)):
        rows = [{"text": "ab"[i % 2] * (2 + i % 9), "label": i % 2} for i in range(count)]
        datasets.Dataset.from_list(rows, features=features).to_parquet(folder / f"{name}.parquet")
    return {
        "data": str(folder),
        "tokenizer": Characters(length=16),
        "model": "text_transformer",
        "model_options": {
            "embedding": 8,
            "hidden": 8,
            "heads": 2,
            "blocks": 2,
            "feed_forward": 8,
            "length": 16,
        },
    }


def digits(folder):
    """Arrays in memory."""
    return {"train_rows": 80, "test_rows": 20}


def settings_of(kind, folder, recipe, **changes):
    folder.mkdir()
    own = {"augment": PadCropFlip(padding=1)} if kind is not texts else {}
    base = {"recipe": recipe, "train_rows": None, "test_rows": None, "holdout": 20, "batch_size": 10}
    base |= {"epochs": 2, "noise": SymmetricNoise(rate=0.5), "threads": 1} | own
    return small(**(base | kind(folder) | changes))


@pytest.fixture
def check(tmp_path):
    def same(kind, recipe, workers):
        options = settings_of(kind, tmp_path / "data", recipe, workers=workers)
        whole, resumed = whole_and_resumed(options, tmp_path)
        assert not resumed.resumed_finished
        assert resumed.folder.weights.read_bytes() == whole.folder.weights.read_bytes()
        return options, whole

    return same


@pytest.mark.slow
def test_a_memory_map_is_loaded_by_two_processes_and_resumes(check):
    options, whole = check(pictures, OWN, "auto")
    assert options.build_datamodule(options.load_data()).workers == 2
    assert whole.summary.run.updates > 2


@pytest.mark.long
@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("recipe", [OWN, SHARED], ids=["own rows", "shared rows"])
@pytest.mark.parametrize("kind", [digits, pictures, files, texts])
def test_resumed(check, tmp_path, kind, recipe, workers):
    _, whole = check(kind, recipe, workers)
    if workers:
        alone = train(
            settings_of(kind, tmp_path / "again", recipe, workers=0),
            run_dir=tmp_path / "alone",
            progress_bar=False,
        )
        assert alone.folder.weights.read_bytes() == whole.folder.weights.read_bytes()
