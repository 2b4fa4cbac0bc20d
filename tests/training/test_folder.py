import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from helpers.killing import HELPERS, started
from helpers.small_run import small
from helpers.summaries import summary
from studygroup.files import write_atomically, write_text
from studygroup.training import FolderInUseError, FolderTakenError, RunFolder, compare, train
from studygroup.training.folder import exclusive, is_unused, try_lock
from studygroup.training.migrate import ALWAYS


def ended_process():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_next_write_removes_what_a_killed_process_left(tmp_path):
    here, ended = socket.gethostname(), ended_process()
    kept = [
        tmp_path / f".writing-{os.getpid()}-{here}-a",
        tmp_path / f".writing-{ended}-x{here}-b",
        tmp_path / ".writing-c",
    ]
    left, old = tmp_path / f".writing-{ended}-{here}-d", tmp_path / ".writing-e"
    for path in (*kept, left, old):
        path.mkdir()
        (path / "half").write_text("half")
    os.utime(old, (0, 0))
    write_text(tmp_path / "file", "whole")
    assert sorted(tmp_path.iterdir()) == sorted([*kept, tmp_path / "file"])


def test_one_at_a_time_holds_a_folder(tmp_path):
    def other(found):
        with try_lock(tmp_path / "run") as free:
            found.append(free)

    with exclusive(tmp_path / "run"):
        with try_lock(tmp_path / "run") as again, exclusive(tmp_path / "run"):
            assert not again
        found = []
        thread = threading.Thread(target=other, args=(found,))
        thread.start()
        thread.join()
        assert found == [False]
    thread = threading.Thread(target=other, args=(found,))
    thread.start()
    thread.join()
    assert found == [False, True]


def test_who_holds_a_folder_is_said_until_it_is_killed(tmp_path):
    path, config = tmp_path / "run", tmp_path / "cell.yaml"
    config.write_text("data: digits\n")
    with started(HELPERS / "holds.py", path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        forked, before = int(process.stdout.readline()), sorted(path.iterdir())
        where = rf"run is in use by process {process.pid} on {socket.gethostname()}, since \d{{4}}-.*another "
        for resume in (False, True):
            with pytest.raises(FolderInUseError, match=where):
                train(small(), run_dir=path, resume=resume, progress_bar=False)
        with pytest.raises(FolderInUseError, match=where):
            compare([str(config)], run_dir=str(path))
        (path / "config.yaml").write_text("{}")  # as of a run that has begun
        with pytest.raises(FolderInUseError, match=where):
            train(small(), run_dir=path, progress_bar=False)
        (path / "config.yaml").unlink()
        assert sorted(path.iterdir()) == before
        process.kill()
        process.wait()
        os.kill(forked, 0)  # such as a process that loads data: it is alive, and holds nothing
        assert is_unused(path)
        with try_lock(path) as free:
            assert free
        os.kill(forked, signal.SIGKILL)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("-")
    with pytest.raises(FolderTakenError, match="is not empty"):
        train(small(), run_dir=tmp_path, progress_bar=False)
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_settings_that_do_not_fit_leave_no_folder(tmp_path):
    with pytest.raises(ValueError, match="of 3 training rows"):
        train(small(train_rows=3), run_dir=tmp_path / "run", progress_bar=False)
    assert os.listdir(tmp_path) == []


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
    config = dict.fromkeys(ALWAYS, 1) | {"a": [1, None], "b": {"c": 1e-8}}
    folder.write_config(config)
    folder.write_summary(summary())
    assert folder.read_config() == config
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
    for change, said in (
        ({"shipped": {"student": 9}}, r"shipped\.student=9, which is none of 2 students"),
        ({"test": {"students": [0.5]}}, r"test\.students of 1 students, where run\.students is 2"),
        ({"shipped": {"test": 7.5}}, r"shipped\.test=7\.5, which is no share"),
        ({"shipped": {"test": math.nan}}, r"shipped\.test=nan, which is no share"),
    ):
        plain = summary().to_plain()
        for part, values in change.items():
            plain[part] |= values
        folder.summary.write_text(json.dumps(plain))
        with pytest.raises(ValueError, match=rf"summary\.json has {said}"):
            folder.read_summary()
    folder.write_config(dict.fromkeys(ALWAYS, 1) | {"seed": 3})
    folder.config.write_text(folder.config.read_text().replace("seed: 3", ""))
    with pytest.raises(ValueError, match=r"config\.yaml lacks seed"):
        folder.read_config()
    folder.config.write_text("just text")
    with pytest.raises(ValueError, match="is not a configuration"):
        folder.read_config()
