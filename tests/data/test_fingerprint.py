"""The fingerprint of a data set: every change of what was read changes the part that has its name, and no other."""

import dataclasses

import pytest
import torch

from helpers.made_up import image_files
from studygroup.data import ArrowSplit, Characters, MemorySplit, SymmetricNoise, load


def digits(**options):
    return load("digits", train_rows=200, test_rows=60, **options)


def changed(some, other):
    assert some.keys() == other.keys()
    return {name for name in some if some[name] != other[name]}


def test_the_same_data_read_again_have_the_same_fingerprint():
    found = digits().fingerprint
    assert found == digits().fingerprint
    rows = {f"{split} {what}" for split in ("training", "hold-out", "test") for what in ("labels", "rows")}
    assert found.keys() == {"classes", "form", "noisy labels", *rows}
    assert found["noisy labels"] == found["training labels"] != found["hold-out labels"]


@pytest.mark.parametrize("split", ["train", "holdout", "test"])
def test_one_pixel_one_label_or_another_order_is_seen(split):
    whole, name = digits(), {"train": "training", "holdout": "hold-out", "test": "test"}[split]
    rows = getattr(whole, split)
    images, labels = rows[torch.arange(len(rows))]
    brighter, other = images.clone(), labels.clone()
    brighter[-1, 0, 3, 4] ^= 1
    other[-1] = (other[-1] + 1) % 10

    def against(images, labels):
        changes = {split: MemorySplit(images, labels)}
        return changed(whole.fingerprint, dataclasses.replace(whole, **changes).fingerprint)

    assert against(images, labels) == set()
    assert against(brighter, labels) == {f"{name} rows"}
    assert against(images, other) == {f"{name} labels"}
    assert against(images.flip(0), labels.flip(0)) == {f"{name} rows", f"{name} labels"}


def test_noise_and_names_of_classes_have_names_of_their_own():
    clean, noisy = digits(), digits(noise=SymmetricNoise(rate=0.5))
    assert changed(clean.fingerprint, noisy.fingerprint) == {"noisy labels", "hold-out labels"}
    renamed = dataclasses.replace(clean, classes=tuple("abcdefghij"))
    assert changed(clean.fingerprint, renamed.fingerprint) == {"classes"}


def test_pictures_that_stay_encoded_are_summed_by_their_files(tmp_path):
    folder = image_files(tmp_path / "some", {"train/cat": 6, "train/dog": 6, "test/cat": 2, "test/dog": 2})
    one, memory = load(folder, in_memory_bytes=0, holdout=2), load(folder, holdout=2)
    assert isinstance(one.test, ArrowSplit)
    assert {name for name in one.fingerprint if "encoded" in name} == {
        f"{split} encoded" for split in ("training", "hold-out", "test")
    }
    both = one.fingerprint.keys() & memory.fingerprint.keys()
    assert {name: one.fingerprint[name] for name in both} == {n: memory.fingerprint[n] for n in both}
    path = folder / "test" / "dog" / "test_1.png"
    path.write_bytes(path.read_bytes() + b"\0")
    again = load(folder, in_memory_bytes=0, holdout=2)
    assert changed(one.fingerprint, again.fingerprint) == {"test encoded"}


def test_texts_are_summed_by_their_tokens(tmp_path):
    def texts(last, length=24):
        for name, rows in (("train", 12), ("test", 4)):
            lines = [f"row {n} of {name} {last if n == rows - 1 else ''},{n % 2}" for n in range(rows)]
            (tmp_path / f"{name}.csv").write_text("\n".join(["text,label", *lines]) + "\n")
        return load(tmp_path, holdout=2, tokenizer=Characters(length=length)).fingerprint

    one, other, longer = texts("a"), texts("b"), texts("a", length=30)
    assert changed(one, other) == {"test rows", "training rows"} or changed(one, other) == {
        "test rows", "hold-out rows"
    }  # fmt: skip
    assert changed(one, longer) == {"form", "training rows", "hold-out rows", "test rows"}
