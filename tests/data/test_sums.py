"""A damaged cache is made anew, with a word; it is never trained on."""

import warnings
from pathlib import Path

import datasets
import pytest
import torch

from helpers.made_up import table
from studygroup.data import Characters, load
from studygroup.data.sums import CacheWarning, is_whole, write_sum


def damage(path, *, cut=False):
    """Fill the second half with zeros, or cut it off; the size stays, or the time does."""
    content = path.read_bytes()
    half = len(content) // 2
    path.chmod(0o644)
    path.write_bytes(content[:half] + (b"" if cut else bytes(len(content) - half)))


def test_any_changed_byte_is_seen(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(3_000_000))
    assert is_whole(path) is None
    write_sum(path)
    assert is_whole(path) is True
    for place in (0, 1_500_000, 2_999_999):
        content = bytearray(3_000_000)
        content[place] = 1
        path.write_bytes(content)
        assert is_whole(path) is False
    path.write_bytes(bytes(2_999_999))
    assert is_whole(path) is False


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """A folder of pictures, and the files that `datasets` caches of it."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "data").mkdir()
    table([0, 1] * 60).to_parquet(tmp_path / "data" / "train.parquet")
    table([0, 1] * 9, start=500).to_parquet(tmp_path / "data" / "test.parquet")

    def read():
        split = load(tmp_path / "data", holdout=0, in_memory_bytes=0).train
        images, labels = split[torch.arange(120)]
        return images.clone(), labels.clone()

    return read, lambda: sorted(Path(tmp_path / "cache").rglob("*.arrow"))


@pytest.mark.parametrize("cut", [False, True])
def test_a_damaged_table_of_pictures_is_made_anew(pictures, cut):
    read, cached = pictures
    before = read()
    assert torch.equal(before[1], torch.tensor([0, 1] * 60))
    (path,) = (path for path in cached() if "train" in path.name)
    damage(path, cut=cut)
    with pytest.warns(CacheWarning, match="is damaged and is made anew"):
        after = read()
    assert all(map(torch.equal, before, after))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert all(map(torch.equal, before, read()))


@pytest.mark.parametrize("way", ["zeros", "cut", "no sum"])
def test_a_damaged_table_of_texts_is_made_anew(tmp_path, monkeypatch, way):
    monkeypatch.setenv("STUDYGROUP_CACHE", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    for name in ("train", "test"):
        rows = [f"{'good' if i % 2 else 'bad'} number {i},{i % 2}" for i in range(60)]
        (tmp_path / "data" / f"{name}.csv").write_text("\n".join(["text,label", *rows]) + "\n")

    def read():
        split = load(tmp_path / "data", holdout=0, tokenizer=Characters(length=20)).train
        inputs, labels = split[torch.arange(60)]
        return inputs["input_ids"].clone(), labels.clone()

    before = read()
    paths = [path for path in (tmp_path / "cache").rglob("*") if path.with_name(f"{path.name}.xxh3").exists()]
    assert len(paths) >= 2  # of texts and of tokens
    for path in paths:
        if way == "no sum":
            path.with_name(f"{path.name}.xxh3").unlink()
        else:
            damage(path, cut=way == "cut")
    with pytest.warns(CacheWarning, match="is damaged and is made anew"):
        after = read()
    assert all(map(torch.equal, before, after))
    assert all(map(is_whole, paths))
