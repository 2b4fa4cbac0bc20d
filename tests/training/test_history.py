from dataclasses import replace

import pytest
from lightning.pytorch import LightningModule, Trainer

from studygroup.training.history import EpochRow, read_history
from studygroup.training.keep_history import History

ROW = EpochRow(
    epoch=1,
    updates=8,
    seconds=0.1 + 0.2,
    rows_per_second=300.0,
    lr=0.1,
    imitation_weight=0.5,
    loss=1.5,
    supervised=(0.25, 0.75),
    imitation=(0.125, 0.375),
    holdout=(0.5, 0.75),
    ensemble=0.8,
    diversity=0.1,
    disagreement=0.2,
)
TEXTS = replace(
    ROW,
    epoch=2,
    cpu_seconds=0.7,
    tokens_per_second=1e3,
    padding=0.1,
    objectives={"ensemble": 2.0},
    teachers={"weight_0": 0.3},
)


def test_rows_come_back_and_missing_columns_stay_empty(tmp_path):
    history = History(tmp_path / "metrics.csv")
    history.add(ROW)
    history.add(TEXTS)
    assert read_history(history.path) == [ROW, TEXTS]
    header, first, _ = history.path.read_text().splitlines()
    assert header.startswith("epoch,updates,seconds,rows_per_second,lr,imitation_weight,loss,holdout_mean,")
    assert header.endswith(
        "holdout_0,holdout_1,cpu_seconds,tokens_per_second,padding,auxiliary_ensemble,listen_weight_0"
    )
    assert first.split(",")[7:9] == ["0.625", "0.75"]  # mean and best of the students
    assert first.endswith(",0.5,0.75,,,,,")


def test_a_checkpoint_drops_the_rows_after_it(tmp_path):
    history = History(tmp_path / "metrics.csv")
    history.add(ROW)
    state = history.state_dict()
    history.add(TEXTS)
    again = History(history.path)
    again.load_state_dict(state)
    again.on_fit_start(Trainer(logger=False, enable_checkpointing=False), LightningModule())
    assert read_history(history.path) == [ROW]
    again.add(TEXTS)
    assert read_history(history.path) == [ROW, TEXTS]


def test_a_missing_file_has_no_rows(tmp_path):
    assert read_history(tmp_path / "none.csv") == []


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,updates,holdout_0\n1,2,0.5\n")
    with pytest.raises(
        ValueError, match=r"metrics\.csv cannot be read \(the column 'holdout_ensemble' is missing"
    ):
        read_history(path)
    path.write_text("epoch,updates\n1,many\n")
    with pytest.raises(ValueError, match=r"metrics\.csv cannot be read \(could not convert"):
        read_history(path)
