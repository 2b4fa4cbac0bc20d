"""Every command before a run folder of which one file is spoilt, each file in turn."""

import os
import pickle
import shutil
from contextlib import contextmanager
from pathlib import Path

import PIL.Image
import pytest

from helpers.hostile import SECONDS, Reduced, refused, within
from helpers.small_run import small
from reproduction.command import main as reproduction
from studygroup.cli import main
from studygroup.training import train

pytestmark = pytest.mark.slow  # whole runs

SUMMARY, WEIGHTS, CONFIG = "summary.json", "student.safetensors", "config.yaml"
CHECKPOINTS = ["checkpoints/epoch-0001.ckpt", "checkpoints/epoch-0002.ckpt"]
COMMANDS = {
    "evaluate": ["evaluate", "{run}"],
    "export": ["export", "{run}"],
    "export a student": ["export", "{run}", "--student", "0"],
    "predict": ["predict", "{run}/../seven.png", "--folder", "{run}"],
    "calibration": ["analyse", "calibration", "{run}"],
    "diversity": ["analyse", "diversity", "{run}"],
    "convergence": ["analyse", "convergence", "{run}"],
    "report": ["report", "{run}", "--out", "{run}/../page.html"],
    "resume": ["train", "--resume", "{run}", "--progress_bar=false"],
    "reproduce": ["reproduce", "{run}", "--run_dir", "{run}/../new"],
    "train": ["train", "--config", "{run}/config.yaml", "--run_dir", "{run}/../new"],
    "compare": ["compare", "--configs", "[{run}/config.yaml]", "--run_dir", "{run}/../new"],
    "tune": [
        "tune", "--config", "{run}/config.yaml", "--search", '{{"optimizer.lr": [0.1]}}', "--run_dir", "{run}/../new",
    ],
    "report of the papers": ["report", "{run}/..", "--out", "{run}/../page.html"],
    "table of the papers": ["show", "cgl-table-2", "--run_dir", "{run}/.."],
    "runs of the papers": ["run", "cgl-table-2", "--data", "cifar10=digits", "--run_dir", "{run}/.."],
}  # fmt: skip
READS = {
    "predict": [WEIGHTS],
    **{key: [CONFIG] for key in ("train", "compare", "tune")},
}
"""The files that a command opens; all others look at the whole folder first."""
NEEDS = {
    "evaluate": [CONFIG, SUMMARY, WEIGHTS],
    "export": [CONFIG, SUMMARY, WEIGHTS],
    "export a student": [CONFIG, SUMMARY, CHECKPOINTS],
    "predict": [WEIGHTS],
    "calibration": [CONFIG, SUMMARY, WEIGHTS],
    "diversity": [CONFIG, SUMMARY, CHECKPOINTS],
    "convergence": [SUMMARY, "metrics.csv"],
    "report": [SUMMARY, "metrics.csv", "confusion.csv"],
    "resume": [CONFIG, "provenance.json"],
    "reproduce": [
        *(CONFIG, SUMMARY, WEIGHTS, "provenance.json", "metrics.csv", "baseline/summary.json"),
        *("baseline/metrics.csv", "baseline/student.safetensors"),
    ],
    **{key: [CONFIG] for key in ("train", "compare", "tune")},
}
"""The files without whose content a command is nothing."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run folder with all that commands leave in one."""
    folder = tmp_path_factory.mktemp("run") / "good"
    train(small(epochs=2, train_rows=100, holdout=20, baseline=True), run_dir=folder, progress_bar=False)
    for command in ("export", "calibration", "diversity"):
        assert main(words(command, folder)) == 0
    assert main(["report", str(folder), "--out", str(folder / "report.html")]) == 0
    return folder


@pytest.fixture
def run(finished, tmp_path):
    """A stranger's run folder, and a picture beside it."""
    run = Path(shutil.copytree(finished, tmp_path / "theirs" / "run"))
    PIL.Image.new("L", (8, 8)).save(run.parent / "seven.png")
    return run


def words(command, run):
    return [word.format(run=run) for word in COMMANDS[command]]


def entry(command):
    return reproduction if "of the papers" in command else main


def files(run):
    return sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file())


@contextmanager
def spoilt(run, *names, by):
    """Within the context, files have another content."""
    for name in names:
        (run / name).rename(run.parent / f"{Path(name).name}.kept")
        by(run / name)
    try:
        yield
    finally:
        for name in names:
            (run / name).unlink()
            (run.parent / f"{Path(name).name}.kept").rename(run / name)


DAMAGED = pytest.mark.filterwarnings(
    "ignore::studygroup.training.UnreadableCheckpointWarning", "ignore:Detected pickle protocol"
)


def pickled(path):
    path.write_bytes(pickle.dumps(Reduced()))


def garbage(path):
    path.write_bytes(bytes(range(256)) * 4)


def null(path):
    path.write_bytes(b"null")


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_opens_a_pipe_or_a_link_out_of_the_folder(command, run, mark, capsys, tmp_path):
    """Whichever file of the folder it stands for."""
    if command == "resume":
        (run / SUMMARY).unlink()
    outside = tmp_path / "outside"
    outside.write_text("{}")
    names = READS.get(command, files(run))
    assert len(names) > 20 or command in READS
    for name in names:
        for by in (os.mkfifo, lambda path: path.symlink_to(outside)):
            if by is not os.mkfifo and READS.get(command) == [CONFIG]:
                continue  # the user names this file, not the folder that it lies in
            with spoilt(run, name, by=by):
                said = refused(words(command, run), mark, capsys, entry=entry(command))
            assert Path(name).name in said, (name, said)
            assert outside.read_text() == "{}"


@DAMAGED
@pytest.mark.parametrize("command", NEEDS)
def test_what_a_command_needs_and_cannot_read_is_named(command, run, mark, capsys):
    shutil.rmtree(run / "analyses")  # what is kept is not computed again
    if command == "resume":
        (run / SUMMARY).unlink()
    for names in NEEDS[command]:
        for by in (
            (pickled, garbage) if command == "compare" else (pickled, garbage, null)
        ):  # null: all defaults
            names = [names] if isinstance(names, str) else names
            with spoilt(run, *names, by=by):
                said = refused(words(command, run), mark, capsys)
            assert not (run.parent / "new").exists()  # before any training
            last = said.strip().splitlines()[-1]
            assert any(Path(name).name in last or "checkpoints has no readable" in last for name in names)


@DAMAGED
@pytest.mark.parametrize(
    "command", [name for name in COMMANDS if name not in (*READS, "resume", "reproduce")]
)
def test_no_file_runs_code_or_ends_in_a_trace(command, run, mark, capsys):
    for name in files(run):
        for by in (pickled, null):
            with spoilt(run, name, by=by), within(SECONDS):
                status = entry(command)(words(command, run))
            said = capsys.readouterr()
            assert not mark.exists(), name
            assert status in (0, 1)
            assert "Traceback" not in said.err
