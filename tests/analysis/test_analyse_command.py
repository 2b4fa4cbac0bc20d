import json
import shutil

import pytest

from studygroup.analysis import analyses
from studygroup.analysis.base import OfNetworks
from studygroup.cli import main

pytestmark = pytest.mark.slow  # whole runs


@pytest.fixture
def runs(three, one, tmp_path):
    for name, run in (("three", three), ("one", one)):
        shutil.copytree(run.folder.path, tmp_path / name, ignore=shutil.ignore_patterns("analyses"))
    return tmp_path


def test_settings_are_options(runs, capsys):
    command = ["analyse", "flatness", str(runs / "three"), str(runs / "one")]
    options = ["--sigmas=[0.01,0.02]", "--draws=2", "--rows=20", "--split=holdout", "--device=cpu"]
    assert main([*command, *options]) == 0
    said = capsys.readouterr().out
    for name in ("three", "one"):
        found = json.loads((runs / name / "analyses" / "flatness.json").read_text())
        assert found["settings"] == {
            "split": "holdout", "rows": 20, "sigmas": [0.01, 0.02], "draws": 2, "reference": 0.02,
            "relative": False, "seed": 0,
        }  # fmt: skip
        assert f"{runs / name}, 20 holdout rows\n  sigma  accuracy  ± over 2 draws" in said
        assert f"  0.02   {found['accuracy'][1]:.2%}" in said
        assert f"kept in {runs / name}/analyses/flatness.json" in said


@pytest.mark.parametrize("name", analyses)
def test_every_analysis_is_a_command(name, runs, capsys, monkeypatch):
    options = ["--points=3", "--pairs=1", "--directions=1"] if name == "landscape" else []
    networks = isinstance(analyses[name], OfNetworks)
    command = ["analyse", name, str(runs / "three"), *(["--rows=30"] if networks else []), *options]
    assert main(command) == 0
    said = capsys.readouterr().out
    asked = "30 test rows" if networks else {"sharing": "3 students"}.get(name, "3 epochs")
    assert f"{runs / 'three'}, {asked}" in said
    monkeypatch.setattr("studygroup.training.load_run.load_net", None)  # asked again, nothing is loaded
    assert main(command) == 0
    assert capsys.readouterr().out == said


def test_errors_say_what_to_do(runs, capsys):
    assert main(["analyse", "diversity", str(runs / "one")]) == 1
    assert "studygroup analyse: 1 student: there is no pair to compare" in capsys.readouterr().err
    assert main(["analyse", "similarity", str(runs / "three"), "--layer=layer11.0"]) == 1
    assert "(near: 'layer1.0'" in capsys.readouterr().err
    assert not (runs / "three" / "analyses").exists()
    for wrong in (["flatnes", "run"], ["flatness", "run", "--width=1"], ["flatness"]):
        with pytest.raises(SystemExit) as exit_info:
            main(["analyse", *wrong])
        assert exit_info.value.code == 2
