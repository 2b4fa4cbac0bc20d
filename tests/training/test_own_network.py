"""Networks and data sets of one's own, by import path or from Python: trained, resumed, opened again, refused."""

import functools
import warnings

import pytest
import torch
import yaml

from helpers import own_parts
from helpers.small_run import small, whole_and_resumed
from studygroup import data, models
from studygroup.cli import main
from studygroup.training import Settings, load_shipped, methods, reproduce, train
from studygroup.trust import NotAllowedError, allowing

DML = functools.partial(methods.dml, students=2)
OWN = "helpers.own_parts"


def small_own(**changes):
    given = {
        "recipe": DML,
        "model": functools.partial(own_parts.Net, width=6),
        "model_options": None,
        "data": functools.partial(own_parts.Shapes, rows=150),
        "train_rows": None,
        "test_rows": None,
        "epochs": 2,
    }
    return small(**(given | changes))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of a network and a data set of one's own, and the same one resumed."""
    return whole_and_resumed(small_own(epochs=3), tmp_path_factory.mktemp("own"))


def test_it_is_recorded_by_its_path_and_resumes_exactly(run):
    whole, resumed = run
    kept = yaml.safe_load(whole.folder.config.read_text())
    assert (kept["model"], kept["model_options"]) == (f"{OWN}.Net", {"width": 6})
    assert (kept["data"], kept["data_options"]) == (f"{OWN}.Shapes", {"rows": 150})
    assert dict(whole.summary.run.model) == {"name": f"{OWN}.Net", "classes": 3, "channels": 3, "width": 6}
    assert whole.summary.run.classes == own_parts.Shapes.classes
    assert (whole.summary.run.train_rows, whole.summary.holdout.rows) == (110, 40)
    with allowing(OWN):
        one, other = whole.load().state_dict(), resumed.load().state_dict()
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert isinstance(whole.load() if False else models.build(f"{OWN}.Net", classes=3), own_parts.Net)


def test_what_opens_it_again_asks_to_be_allowed_and_then_does(run, tmp_path, capsys):
    whole = run[0]
    folder = str(whole.folder.path)
    picture = tmp_path / "one.png"
    own_parts.Shapes(kind="pil")[1][0].save(picture)
    for words in (
        ["evaluate", folder],
        ["predict", str(picture), "--folder", folder],
        ["export", folder, "--student", "1"],
        ["reproduce", folder],
    ):
        assert main(words) == 1
        assert f"--allow {OWN}" in capsys.readouterr().err
        assert main([*words, "--allow", OWN]) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert "upper right" in said or "same" in said
    with pytest.raises(NotAllowedError, match=r"build\.name names 'helpers\.own_parts\.Net'"):
        load_shipped(folder)
    with pytest.raises(NotAllowedError):
        whole.load()
    with allowing(OWN):
        assert isinstance(load_shipped(folder).net, own_parts.Net)
        assert reproduce(folder).same
