import os

import pytest

from studygroup.files import write_atomically, write_text
from studygroup.training import RunFolder


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "sub" / "file.txt"
    write_text(path, "old")

    def fail(temporary):
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == ["file.txt"]


def test_config_and_summary_come_back(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_config({"a": [1, None], "b": {"c": 1e-8}})
    summary = {"run": {"seed": 0}, "shipped": {"test": 0.5}}
    folder.write_summary(summary)
    assert folder.read_config() == {"a": [1, None], "b": {"c": 1e-8}}
    assert folder.read_summary() == summary


def test_missing_and_damaged_files_are_named(tmp_path):
    folder = RunFolder(tmp_path)
    with pytest.raises(ValueError, match=r"no finished run: summary\.json is missing"):
        folder.read_summary()
    folder.summary.write_text("{")
    with pytest.raises(ValueError, match=r"summary\.json cannot be read"):
        folder.read_summary()
    folder.summary.write_text('{"run": {}}')
    with pytest.raises(ValueError, match=r"summary\.json lacks shipped; train the run again"):
        folder.read_summary()
    folder.config.write_text("just text")
    with pytest.raises(ValueError, match="is not a configuration"):
        folder.read_config()
