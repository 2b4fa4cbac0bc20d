"""The official CIFAR-10 files, rebuilt from Parquet; torchvision itself says whether they are the true ones."""

import datasets
import pytest
import torch

from helpers.official_cifar import batch, meta
from studygroup.data import load
from studygroup.data.raw import in_memory


@pytest.mark.slow
def test_the_official_release_equals_the_parquet_copy(cifar10_folder, tmp_path):
    files = {split: str(cifar10_folder / f"{split}.parquet") for split in ("train", "test")}
    tables = datasets.load_dataset("parquet", data_files=files)
    plain = load(cifar10_folder, holdout=0)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "batches.meta").write_bytes(meta(list(plain.classes)))
    for split, rows, parts in (("train", plain.train, 5), ("test", plain.test, 1)):
        images, table = in_memory(rows).images, tables[split].cast_column("img", datasets.Image(decode=False))
        names = [record["path"] for record in table["img"]]
        for part in range(parts):
            some = slice(10_000 * part, 10_000 * (part + 1))
            title = f"training batch {part + 1} of 5" if parts > 1 else "testing batch 1 of 1"
            content = batch(title, rows.labels[some].tolist(), images[some].numpy(), names[some])
            (folder / (f"data_batch_{part + 1}" if parts > 1 else "test_batch")).write_bytes(content)
    official = load(tmp_path, holdout=0)
    assert official.classes == plain.classes
    assert official.form == plain.form
    for split in ("train", "test"):
        ours, theirs = in_memory(getattr(plain, split)), in_memory(getattr(official, split))
        assert torch.equal(ours.images, theirs.images)
        assert torch.equal(ours.labels, theirs.labels)
