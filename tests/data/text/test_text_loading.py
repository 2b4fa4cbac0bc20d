import pytest
import torch

from helpers.text_rows import WordLengths
from studygroup.data import load
from studygroup.data.loading import NoTestSplitWarning


@pytest.fixture
def folder(tmp_path):
    """60 rows in the official form, sorted by class; each text has a number of its own."""
    lines = [f'"{row // 20 + 1}","{"x" * (row % 7 + 1)} y{row}"\n' for row in range(60)]
    (tmp_path / "reviews").mkdir()
    (tmp_path / "reviews" / "train.csv").write_text("".join(lines))
    return tmp_path / "reviews"


class Seen:
    """A tokenizer that keeps what it was fitted to."""

    def __call__(self, texts):
        self.texts = list(texts)
        assert self.texts == list(texts)  # as often as it likes
        return WordLengths()


def test_draws_and_batches(folder):
    (folder / "test.csv").write_text('"3","one two"\n')
    seen = Seen()
    data = load(folder, holdout=6, tokenizer=seen)
    assert (data.name, data.classes) == ("reviews", ("1", "2", "3"))
    assert [len(split) for split in (data.train, data.holdout, data.test)] == [54, 6, 1]
    assert torch.bincount(data.holdout.labels).tolist() == [2, 2, 2]
    held = data.holdout_truth.rows.tolist()
    assert seen.texts == [f"{'x' * (row % 7 + 1)} y{row}" for row in range(60) if row not in held]
    batch, labels = data.holdout[torch.arange(6)]
    assert batch["input_ids"].tolist() == [[row % 7 + 1, len(f"y{row}")] for row in held]
    assert labels.tolist() == [row // 20 for row in held]
    assert data.test[torch.tensor([0])][0]["input_ids"].tolist() == [[3, 3]]


def test_a_test_split_is_set_aside(folder):
    with pytest.warns(NoTestSplitWarning, match="10 of its rows"):
        data = load(folder, holdout=0, tokenizer=Seen())
    assert [len(split) for split in (data.train, data.holdout, data.test)] == [50, 0, 10]
