"""What a user allows: by flag, environment, entry point, in Python; and no more than that."""

import sys
from pathlib import Path

import pytest
import yaml

from helpers.small_run import small
from studygroup import trust
from studygroup.cli import main
from studygroup.training import Settings, evaluate, train
from studygroup.training.trust import known
from studygroup.trust import NotAllowedError, allowing, allows_module

OWN = """import os
import shutil
from os import system
import studygroup as sg
from studygroup.objectives import Supervised
from studygroup.training import methods

def doubled(rows, *, generator):
    return rows

@methods.register_recipe
def alone(model, *, weight: float = 1.0):
    group = sg.StudyGroup(model, sg.routes.independent(students=1))
    return sg.CollaborativeLearning(group, [Supervised(weight=weight)])
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A working directory with a module of one's own, and no other way to it."""
    (tmp_path / "own_project_module.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STUDYGROUP_ALLOW", raising=False)
    monkeypatch.delitem(sys.modules, "own_project_module", raising=False)
    yield tmp_path
    sys.modules.pop("own_project_module", None)


@pytest.fixture
def config(project):
    settings = small(epochs=1, train_rows=100, holdout=20).config()
    (project / "mine.yaml").write_text(yaml.safe_dump(settings | {"augment": "own_project_module.doubled"}))
    return project / "mine.yaml"


@pytest.mark.slow
def test_a_run_with_ones_own_code_is_made_resumed_and_scored(project, config, capsys):
    """Typed names are taken as they are; files that name them ask for the flag, and say which."""
    given = ["train", "--config", str(config), "--run_dir", "run", "--progress_bar", "false"]
    assert main(given) == 1
    said = capsys.readouterr().err
    assert "mine.yaml: augment names 'own_project_module.doubled'" in said
    assert "--allow own_project_module" in said
    assert "own_project_module" not in sys.modules
    assert main([*given, "--allow", "."]) == 0
    assert main(["evaluate", "run"]) == 1
    assert "run/config.yaml: augment" in capsys.readouterr().err
    assert main(["evaluate", "run", "--allow", "."]) == 0
    assert "as the summary says" in capsys.readouterr().out
    (project / "run" / "summary.json").unlink()
    own = ["train", "--config", "run/config.yaml", "--run_dir", "run", "--resume", "--allow=."]
    assert main(own) == 0


def test_what_is_typed_is_taken_as_it_is(project, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(project))
    settings = small(epochs=1).config()
    del settings["recipe"]
    (project / "rest.yaml").write_text(yaml.safe_dump(settings))
    given = [
        "train",
        "--config",
        "rest.yaml",
        "--recipe",
        "own_project_module.alone",
        "--recipe.weight",
        "2.0",
    ]
    with pytest.raises(SystemExit):
        main([*given, "--print_config"])
    assert yaml.safe_load(capsys.readouterr().out)["recipe"]["init_args"]["weight"] == 2.0


def test_a_name_that_is_typed_elsewhere_allows_nothing(project, config, capsys):
    """A stranger chooses the name of a folder."""
    given = ["train", "--config", str(config), "--run_dir", "own_project_module.doubled"]
    assert main([*given, "--data", "own_project_module.doubled"]) == 1
    assert "own_project_module" not in sys.modules
    assert "own_project_module" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["own_project_module.os.system", "own_project_module.system", "own_project_module.shutil.rmtree"]
)
def test_an_allowed_module_allows_nothing_that_it_imports(name, config, monkeypatch):
    monkeypatch.syspath_prepend(str(config.parent))
    values = yaml.safe_load(config.read_text()) | {"augment": name}
    with allowing("own_project_module"), pytest.raises(NotAllowedError, match="augment"):
        Settings.from_config(values, where=config)


def test_environment_and_python_allow(config, monkeypatch):
    monkeypatch.syspath_prepend(str(config.parent))
    values = yaml.safe_load(config.read_text())
    with pytest.raises(NotAllowedError):
        Settings.from_config(values, where=config)
    with allowing("own_project_module"):
        assert Settings.from_config(values, where=config).augment.__name__ == "doubled"
    monkeypatch.setenv("STUDYGROUP_ALLOW", "other, own_project_module")
    assert Settings.from_config(values, where=config).augment.__name__ == "doubled"
    monkeypatch.setenv("STUDYGROUP_ALLOW", "own_project")
    with pytest.raises(NotAllowedError):
        Settings.from_config(values, where=config)


def test_an_installed_package_allows_its_own(tmp_path, monkeypatch):
    info = tmp_path / "declared-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: declared\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[studygroup.allowed]\nany = declared.recipes\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    trust._declared.cache_clear()
    try:
        assert allows_module("declared.recipes.mine")
        assert not allows_module("declared.other")
    finally:
        monkeypatch.undo()
        trust._declared.cache_clear()


def test_modules_of_the_folder_that_is_read_are_not_the_projects(project):
    theirs = project / "theirs"
    theirs.mkdir()
    (theirs / "__init__.py").write_text("")
    with allowing("."):
        assert allows_module("own_project_module.doubled", read=theirs / "config.yaml")
        assert not allows_module("theirs.code", read=theirs / "config.yaml")
        assert not allows_module("os.system")
        assert not allows_module("yaml.load")
    assert not allows_module("own_project_module.doubled")


def test_what_cannot_be_allowed_is_refused():
    with pytest.raises(ValueError, match="cannot be allowed"), allowing("../there"):
        pass


def test_remote_code_is_not_allowed_by_the_environment(monkeypatch):
    monkeypatch.setenv("STUDYGROUP_ALLOW", "remote_code")
    assert not trust.allows_remote_code()
    with allowing("remote_code"):
        assert trust.allows_remote_code()


def test_links_lead_where_it_is_allowed(tmp_path):
    run, scratch = tmp_path / "run", tmp_path / "scratch"
    train(small(epochs=1, train_rows=100, holdout=20), run_dir=run, progress_bar=False)
    (run / "checkpoints").rename(scratch)
    (run / "checkpoints").symlink_to(scratch)
    with pytest.raises(NotAllowedError, match=f"--allow {tmp_path}"):
        evaluate(run)
    with allowing(str(scratch)):
        assert evaluate(run)["test_rows"] == 60


def test_every_name_stands_for_what_it_names():
    """Nothing else is reachable: each known name is an object of this library, or torch's optimiser or loss."""
    ours = {"optimizer": "torch.optim", "criterion": ("studygroup.", "torch.nn.modules.loss")}
    for kind, names in known().items():
        assert names
        for name, some in names.items():
            assert name.rpartition(".")[2] == some.__name__
            assert some.__module__.startswith(ours.get(kind, "studygroup.")), name


@pytest.mark.slow
def test_every_recipe_of_a_file_is_known():
    from studygroup import recipes

    needs_more = {"tree", "auxiliary_training", "byot", "distillation"}
    for name in sorted(set(recipes.__all__) - needs_more):
        config = Settings.from_config({"recipe": name}).config()
        assert Settings.from_config(config, where=Path("config.yaml")).config() == config


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "examples").glob("*.yaml")), ids=lambda p: p.stem
)
def test_every_example_may_come_from_a_stranger(path):
    Settings.from_config(yaml.safe_load(path.read_text()), where=path)
