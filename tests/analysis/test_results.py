import json
import shutil

import pytest

from studygroup.analysis import analyse, analyses, read_analyses, results
from studygroup.training import RunFolder


@pytest.fixture
def folder(three, tmp_path):
    """A copy of the finished run without analyses."""
    copied = tmp_path / "run"
    shutil.copytree(three.folder.path, copied, ignore=shutil.ignore_patterns("analyses"))
    return RunFolder(copied)


def test_what_was_found_is_read_when_asked_again(folder, monkeypatch):
    assert read_analyses(folder) == {}
    found = analyse(folder, "flatness", sigmas=(0.01, 0.02), draws=2)
    path = folder.path / "analyses" / "flatness.json"
    assert json.loads(path.read_text()) == found == read_analyses(folder)["flatness"]
    assert found["settings"]["sigmas"] == [0.01, 0.02]
    assert found["settings"]["split"] == "test"

    def never(*_, **__):
        raise AssertionError("computed again")

    with monkeypatch.context() as patch:
        patch.setattr(type(analyses["flatness"]), "evaluate", never)
        assert analyse(folder, "flatness", sigmas=(0.01, 0.02), draws=2) == found
        with pytest.raises(AssertionError, match="computed again"):
            analyse(folder, "flatness", sigmas=(0.01, 0.02), draws=3)
        assert read_analyses(folder)["flatness"] == found
    other = analyse(folder, "flatness", sigmas=(0.01, 0.02), draws=3)
    assert read_analyses(folder)["flatness"] == other != found


def test_all_of_them_are_kept_by_name(folder):
    for name in ("diversity", "ensemble"):
        analyse(folder, name, rows=7)
    assert list(read_analyses(folder)) == ["diversity", "ensemble"]
    assert read_analyses(folder)["ensemble"]["rows"] == 7


def test_a_kill_leaves_nothing_or_all(folder, monkeypatch):
    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        analyse(folder, "ensemble", rows=7)
    assert read_analyses(folder) == {}
    assert list((folder.path / "analyses").iterdir()) == []


def test_wrong_names_and_damaged_files_are_named(folder):
    with pytest.raises(ValueError, match=r"no analysis 'flatnes' \(near: 'flatness'\)"):
        analyse(folder, "flatnes")
    with pytest.raises(ValueError, match="flatness has no setting 'sigma'; it has split, rows, sigmas"):
        analyse(folder, "flatness", sigma=0.1)
    path = folder.path / results.FOLDER / "diversity.json"
    path.parent.mkdir()
    path.write_text('{"rows": 1')
    for ask in (read_analyses, lambda run: analyse(run, "diversity")):
        with pytest.raises(ValueError, match=r"diversity.json cannot be read \(.*; remove it and analyse"):
            ask(folder)
