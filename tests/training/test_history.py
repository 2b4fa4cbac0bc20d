from lightning.pytorch import LightningModule, Trainer

from studygroup.training.history import History, read_history


def test_rows_come_back_and_missing_columns_stay_empty(tmp_path):
    history = History(tmp_path / "metrics.csv")
    history.add({"epoch": 1, "loss": 0.1 + 0.2})
    history.add({"epoch": 2, "extra": 3.0})
    assert read_history(history.path) == [{"epoch": 1.0, "loss": 0.1 + 0.2}, {"epoch": 2.0, "extra": 3.0}]


def test_a_checkpoint_drops_the_rows_after_it(tmp_path):
    history = History(tmp_path / "metrics.csv")
    history.add({"epoch": 1, "loss": 1.0})
    state = history.state_dict()
    history.add({"epoch": 2, "loss": 2.0})
    again = History(history.path)
    again.load_state_dict(state)
    again.on_fit_start(Trainer(logger=False, enable_checkpointing=False), LightningModule())
    assert [row["epoch"] for row in read_history(history.path)] == [1.0]
    again.add({"epoch": 2, "loss": 2.0})
    assert [row["epoch"] for row in read_history(history.path)] == [1.0, 2.0]


def test_a_missing_file_has_no_rows(tmp_path):
    assert read_history(tmp_path / "none.csv") == []
