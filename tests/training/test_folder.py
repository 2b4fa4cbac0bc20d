import json
import os

import pytest

from helpers.summaries import summary
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
    folder.write_summary(summary())
    assert folder.read_config() == {"a": [1, None], "b": {"c": 1e-8}}
    assert folder.read_summary() == summary()


def test_missing_and_damaged_files_are_named(tmp_path):
    folder = RunFolder(tmp_path)
    with pytest.raises(ValueError, match=r"no finished run: summary\.json is missing"):
        folder.read_summary()
    folder.summary.write_text("{")
    with pytest.raises(ValueError, match=r"summary\.json cannot be read"):
        folder.read_summary()
    for part, said in (("shipped", "lacks shipped"), ("holdout", "lacks holdout")):
        plain = summary().to_plain()
        del plain[part]
        folder.summary.write_text(json.dumps(plain))
        with pytest.raises(ValueError, match=rf"summary\.json {said}; train the run again"):
            folder.read_summary()
    plain = summary().to_plain()
    plain["shipped"]["test"] = "much"
    folder.summary.write_text(json.dumps(plain))
    with pytest.raises(ValueError, match=r"summary\.json has shipped\.test='much', which is no float; train"):
        folder.read_summary()
    folder.config.write_text("just text")
    with pytest.raises(ValueError, match="is not a configuration"):
        folder.read_config()
