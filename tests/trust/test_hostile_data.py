"""Every file of a stranger's data: pipes, links and pickles are refused, and nothing runs."""

import os
import shutil

import pytest

from helpers.hostile import Reduced, refused


def pictures(folder):
    import PIL.Image

    for split in ("train", "test"):
        for name in ("a", "b"):
            place = folder / split / name
            place.mkdir(parents=True)
            for k in range(12):
                PIL.Image.new("RGB", (8, 8), (20 * k, 0, 0)).save(place / f"{k}.png")
    return folder


def pipe(folder):
    os.mkfifo(folder / "train" / "a" / "99.png")


def endless(folder):
    (folder / "train" / "a" / "99.png").symlink_to("/dev/zero")


def outside(folder):
    (folder / "train" / "a" / "99.png").symlink_to("/etc/hostname")


def loops(folder):
    for name in "cdefgh":
        (folder / "train" / "a" / name).symlink_to(folder / "train")


def table_pipe(folder):
    shutil.rmtree(folder)
    folder.mkdir()
    os.mkfifo(folder / "train.csv")


def parquet_pipe(folder):
    shutil.rmtree(folder)
    folder.mkdir()
    os.mkfifo(folder / "train.parquet")


def parquet_path(folder):
    """A table whose pictures are paths of other files."""
    import datasets

    shutil.rmtree(folder)
    folder.mkdir()
    os.mkfifo(folder.parent / "pipe")
    rows = [{"bytes": None, "path": str(folder.parent / "pipe")}] * 20
    features = datasets.Features(
        image=datasets.Image(decode=False), label=datasets.ClassLabel(names=["a", "b"])
    )
    datasets.Dataset.from_dict({"image": rows, "label": [0, 1] * 10}, features=features).to_parquet(
        folder / "train.parquet"
    )


def parquet_regular_path(folder):
    """A table whose pictures are other pictures of this machine."""
    parquet_path(folder)
    (folder.parent / "pipe").unlink()
    import PIL.Image

    PIL.Image.new("RGB", (8, 8)).save(folder.parent / "pipe", format="png")


def parquet_undeclared_path(folder):
    """The same in a table that `datasets` did not write: bytes and paths without a word on pictures."""
    import pyarrow.parquet

    parquet_regular_path(folder)
    held = pyarrow.parquet.read_table(folder / "train.parquet")
    pyarrow.parquet.write_table(held.replace_schema_metadata(None), folder / "train.parquet")


@pytest.mark.parametrize(
    "harm",
    [
        parquet_undeclared_path,
        parquet_regular_path,
        pipe,
        endless,
        outside,
        loops,
        table_pipe,
        parquet_pipe,
        parquet_path,
    ],
    ids=lambda harm: harm.__name__,
)
@pytest.mark.filterwarnings("ignore::studygroup.data.NoTestSplitWarning")
def test_pipes_and_links_in_data_are_refused(harm, mark, capsys, tmp_path):
    folder = pictures(tmp_path / "data")
    harm(folder)
    given = [
        "train",
        "--data",
        folder,
        "--run_dir",
        tmp_path / "new",
        "--epochs",
        "1",
        "--accelerator",
        "cpu",
    ]
    said = refused(given, mark, capsys)
    assert harm not in (parquet_undeclared_path, parquet_regular_path) or "paths of other files" in said


def official(folder, content):
    base = folder / "cifar-10-batches-py"
    base.mkdir(parents=True)
    for name in [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch", "batches.meta"]:
        (base / name).write_bytes(content)


def test_official_pickles_run_nothing(mark, capsys, tmp_path, monkeypatch):
    """Even of files whose MD5 sums are right."""
    import pickle

    monkeypatch.setattr("torchvision.datasets.utils.check_md5", lambda *_, **__: True)
    official(tmp_path / "data", pickle.dumps({"data": Reduced(), "labels": [0], "label_names": ["a"]}))
    refused(["train", "--data", tmp_path / "data", "--run_dir", tmp_path / "new"], mark, capsys)


def test_no_picture_starts_another_program(mark, capsys, tmp_path, monkeypatch):
    """PostScript is a program, and Pillow would have Ghostscript execute it, whatever the file is called."""
    from PIL import EpsImagePlugin

    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch '{mark}'\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    folder = pictures(tmp_path / "data")
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
    (folder / "train" / "a" / "99.png").write_bytes(script)
    said = refused(["train", "--data", folder, "--run_dir", tmp_path / "new"], mark, capsys)
    assert "99.png): the image cannot be read (it is in no format that Pillow can read by itself" in said
