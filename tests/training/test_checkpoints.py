import pytest
import torch

from studygroup.training import UnreadableCheckpointWarning
from studygroup.training.checkpoints import AtomicCheckpointIO, newest_readable, saved


def _write(folder, epoch):
    path = folder / f"epoch-{epoch:04d}.ckpt"
    AtomicCheckpointIO().save_checkpoint({"epoch": epoch, "weights": torch.arange(1000.0)}, path)
    return path


def test_the_newest_comes_first_by_number(tmp_path):
    for epoch in (2, 10000, 9):
        _write(tmp_path, epoch)
    (tmp_path / ".epoch-0011.ckpt.tmp").write_bytes(b"half")
    assert [path.name for path in saved(tmp_path)] == [
        "epoch-10000.ckpt",
        "epoch-0009.ckpt",
        "epoch-0002.ckpt",
    ]
    assert newest_readable(tmp_path)[1]["epoch"] == 10000


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"PK" + b"x" * 100])
def test_a_damaged_newest_is_named_and_the_one_before_used(tmp_path, damage):
    _write(tmp_path, 1)
    newest = _write(tmp_path, 2)
    newest.write_bytes(damage(newest.read_bytes()))
    with pytest.warns(UnreadableCheckpointWarning, match=r"epoch-0002\.ckpt cannot be read"):
        path, content = newest_readable(tmp_path)
    assert (path.name, content["epoch"]) == ("epoch-0001.ckpt", 1)


def test_no_checkpoint_is_none(tmp_path):
    assert newest_readable(tmp_path / "nowhere") is None
