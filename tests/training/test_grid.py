import os
from dataclasses import dataclass

import pytest

from studygroup.data import UnavailableError
from studygroup.training import NonFiniteLossError, RunFolder
from studygroup.training.folder import try_lock
from studygroup.training.grid import in_processes, run_grid


@dataclass(frozen=True)
class Cell:
    name: str
    data_name: str = "digits"


def worked(cells, tmp_path, make=lambda cell: None, **options):
    """The names of the cells that were made, and of those that diverged."""
    made, diverged = [], []

    def one(cell):
        make(cell)
        made.append(cell.name)

    def note(cell, error):
        diverged.append((cell.name, str(error)))

    try:
        run_grid(cells, one, folder=lambda cell: RunFolder(tmp_path / cell.name), diverged=note, **options)
    finally:
        assert [name for name, _ in diverged] == [cell.name for cell in cells if "bad" in cell.name]
    return made


def test_cells_are_made_in_order_but_those_in_other_hands_and_those_that_need_nothing(tmp_path):
    cells = [Cell("a"), Cell("b"), Cell("c")]
    with try_lock(tmp_path / "b") as free:
        assert free
        assert worked(cells, tmp_path) == ["a", "c"]
    assert worked(cells, tmp_path, needed=lambda cell: cell.name != "a") == ["b", "c"]


def test_a_cell_is_locked_while_it_is_made(tmp_path):
    def make(cell):
        with try_lock(tmp_path / cell.name) as free:
            assert not free

    assert worked([Cell("a")], tmp_path, make) == ["a"]


def test_a_loss_that_is_no_number_keeps_no_other_cell_from_being_made(tmp_path):
    def make(cell):
        if cell.name == "bad":
            raise NonFiniteLossError("not finite")

    assert worked([Cell("a"), Cell("bad"), Cell("c")], tmp_path, make) == ["a", "c"]


def test_data_that_cannot_be_opened_are_tried_once_and_named_at_the_end(tmp_path):
    tried = []

    def make(cell):
        tried.append(cell.name)
        if cell.data_name == "hub":
            raise UnavailableError("no network")

    cells = [Cell("a", "hub"), Cell("b"), Cell("c", "hub"), Cell("d")]
    with pytest.raises(UnavailableError, match="hub: no network"):
        worked(cells, tmp_path, make)
    assert tried == ["a", "b", "d"]


def write(folder, name):
    """Leave a file with this process's number."""
    if name == "fails":
        raise ValueError("gone wrong")
    (folder / f"{name}-{os.getpid()}").touch()


@pytest.mark.slow
def test_processes_do_the_same_work_and_one_that_fails_is_told(tmp_path, capfd, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    in_processes(write, tmp_path, "done", count=2)
    assert len(list(tmp_path.glob("done-*"))) == 2
    assert "OMP_NUM_THREADS" not in os.environ
    with pytest.raises(RuntimeError, match="2 of 2 processes failed, see above; what is finished is kept"):
        in_processes(write, tmp_path, "fails", count=2)
    assert capfd.readouterr().err.count("gone wrong") == 2
