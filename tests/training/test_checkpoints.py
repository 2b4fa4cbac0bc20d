import pytest
import torch

from studygroup.training import ConfigurationChangedError, UnreadableCheckpointWarning
from studygroup.training.checkpoints import newest_of_run, newest_readable, saved
from studygroup.training.save_checkpoints import AtomicCheckpointIO


def _write(folder, epoch):
    path = folder / f"epoch-{epoch:04d}.ckpt"
    AtomicCheckpointIO().save_checkpoint(content(epoch), path)
    return path


def content(epoch):
    """What stands in the checkpoint after so many epochs."""
    row = {
        "updates": 1,
        "seconds": 1.0,
        "rows_per_second": 1.0,
        "lr": 0.1,
        "imitation_weight": 0.0,
        "loss": 1.0,
    }
    row |= {f"{name}_0": 0.5 for name in ("supervised", "imitation", "holdout")}
    row |= {f"holdout_{name}": 0.5 for name in ("ensemble", "diversity", "disagreement")}
    return {
        "epoch": epoch - 1,
        "global_step": epoch,
        "state_dict": {"weights": torch.arange(1000.0)},
        "callbacks": {
            "LastTwo": {"config": {}},
            "History": {"rows": [row | {"epoch": k + 1} for k in range(epoch)]},
        },
        "optimizer_states": [{}],
        "lr_schedulers": [{}],
        "loops": {},
        "pytorch-lightning_version": "2.4.0",
    }


def test_the_newest_comes_first_by_number(tmp_path):
    for epoch in (2, 1000, 9):
        _write(tmp_path, epoch)
    (tmp_path / ".epoch-0011.ckpt.tmp").write_bytes(b"half")
    assert [path.name for path in saved(tmp_path)] == [
        "epoch-1000.ckpt",
        "epoch-0009.ckpt",
        "epoch-0002.ckpt",
    ]
    assert newest_readable(tmp_path).epoch == 999


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"PK" + b"x" * 100])
def test_a_damaged_newest_is_named_and_the_one_before_used(tmp_path, damage):
    _write(tmp_path, 1)
    newest = _write(tmp_path, 2)
    newest.write_bytes(damage(newest.read_bytes()))
    with pytest.warns(UnreadableCheckpointWarning, match=r"epoch-0002\.ckpt cannot be read"):
        found = newest_readable(tmp_path)
    assert (found.path.name, found.epoch) == ("epoch-0001.ckpt", 0)


def test_no_checkpoint_is_none(tmp_path):
    assert newest_readable(tmp_path / "nowhere") is None


WRONG = {
    "lacks state_dict": lambda c: c.pop("state_dict"),
    "lacks callbacks.LastTwo": lambda c: c["callbacks"].pop("LastTwo"),
    "has pytorch-lightning_version=None": lambda c: c.pop("pytorch-lightning_version"),
    "has pytorch-lightning_version='new', which is no version": lambda c: c.update(
        {"pytorch-lightning_version": "new"}
    ),
    "has epoch='x'": lambda c: c.update(epoch="x"),
    "has callbacks.History.rows=3": lambda c: c["callbacks"]["History"].update(rows=3),
    "has figures of 2 epochs": lambda c: c.update(epoch=10**12),
    "has state_dict.weights with values that are not a number": lambda c: c["state_dict"]["weights"].fill_(
        torch.nan
    ),
}


@pytest.mark.parametrize("said", WRONG)
def test_what_a_checkpoint_lacks_is_named(said, tmp_path):
    wrong = content(2)
    WRONG[said](wrong)
    torch.save(wrong, tmp_path / "epoch-0002.ckpt")
    with pytest.warns(UnreadableCheckpointWarning, match=said):
        assert newest_readable(tmp_path) is None


def test_a_checkpoint_of_another_run_or_network_is_refused(tmp_path):
    _write(tmp_path, 1)
    with pytest.raises(ConfigurationChangedError, match="seed: None there, 1 now"):
        newest_of_run(tmp_path, {"seed": 1}, {})
    with pytest.raises(ValueError, match=r"epoch-0001\.ckpt does not fit .*weights \(1000,\)"):
        newest_of_run(tmp_path, {}, {"weights": torch.zeros(3)})
    assert newest_of_run(tmp_path, {}, {"weights": torch.zeros(1000)}).epoch == 0
