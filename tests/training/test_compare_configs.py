import csv
import functools
import json
import statistics

import pytest
import torch
import yaml

from helpers.small_run import small
from studygroup.training import NonFiniteLossError, compare, methods
from studygroup.training.comparison import table
from studygroup.training.folder import try_lock

pytestmark = pytest.mark.slow  # whole runs


@pytest.fixture
def configs(tmp_path):
    for name, recipe in (("cgl", small().recipe), ("plain", methods.baseline)):
        config = small(recipe=recipe, epochs=1).config()
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(config))
    return [str(tmp_path / "cgl.yaml"), str(tmp_path / "plain.yaml")]


def test_every_cell_once_and_the_mean_over_seeds(configs, tmp_path):
    folder = tmp_path / "table"
    rows = compare(configs, seeds=[3, 4], run_dir=str(folder), progress_bar=False)
    assert [(row["name"], row["n"]) for row in rows] == [("cgl", 2), ("plain", 2)]
    for row in rows:
        cells = [json.loads((folder / f"{row['name']}-{s}" / "summary.json").read_text()) for s in (3, 4)]
        tests = [cell["shipped"]["test"] for cell in cells]
        assert row["test"] == pytest.approx(statistics.fmean(tests))
        assert row["test_std"] == pytest.approx(statistics.stdev(tests))
        assert row["top5"] == pytest.approx(statistics.fmean(cell["shipped"]["test_top5"] for cell in cells))
        assert row["top5"] > row["test"]
        assert row["classes"] == 10
        assert [cell["run"]["seed"] for cell in cells] == [3, 4]
    assert rows[1]["step_cost"] == 1.0
    assert json.loads((folder / "comparison.json").read_text()) == rows
    assert "| cgl | 2 | " in (folder / "comparison.md").read_text()
    with (folder / "comparison.csv").open(newline="") as file:
        tidy = list(csv.DictReader(file))
    assert [(line["name"], line["seed"]) for line in tidy] == [
        ("cgl", "3"),
        ("cgl", "4"),
        ("plain", "3"),
        ("plain", "4"),
    ]
    assert statistics.fmean(float(line["test"]) for line in tidy[:2]) == rows[0]["test"]

    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/summary.json")}
    (folder / "plain-4" / "summary.json").unlink()
    assert compare(configs, seeds=[3, 4], run_dir=str(folder), progress_bar=False) == rows
    after = {path: path.stat().st_mtime_ns for path in folder.glob("*/summary.json")}
    assert [path.parent.name for path in before if before[path] != after[path]] == ["plain-4"]


def test_processes_share_the_cells(configs, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    compare(configs, seeds=[3, 4], run_dir=str(one), progress_bar=False)
    rows = compare(configs, seeds=[3, 4], run_dir=str(two), jobs=2, progress_bar=False)
    assert [(row["name"], row["n"]) for row in rows] == [("cgl", 2), ("plain", 2)]
    alike = ("holdout", "test", "students_mean", "ensemble")
    assert [[row[name] for name in alike] for row in rows] == [
        [row[name] for name in alike] for row in json.loads((one / "comparison.json").read_text())
    ]


def test_a_cell_that_diverges_in_one_of_several_processes(configs, tmp_path, capfd):
    folder = tmp_path / "table"
    with pytest.raises(RuntimeError, match="processes failed, see above; what is finished is kept"):
        compare(configs, seeds=[0], run_dir=str(folder), jobs=2, overrides={"optimizer.lr": 1e30})
    assert "loss" in capfd.readouterr().err
    assert json.loads((folder / "comparison.json").read_text()) == []


def test_top5_is_told_of_many_classes():
    row = {"name": "cgl", "n": 2, "updates": 7, "step_cost": 1.5, "classes": 10}
    for number, name in enumerate(("holdout", "test", "top5", "students_mean", "ensemble")):
        row |= {name: (number + 1) / 10, f"{name}_std": None}
    few, many = table([row]), table([row, row | {"classes": 20}])
    assert "| cgl | 2 | 10.00 | 20.00 | 40.00 | 50.00 | 7 | 1.50 x |" in few
    assert "top-5" not in few
    assert "| test, shipped | test top-5, shipped | test, mean of students |" in many
    assert many.count("| cgl | 2 | 10.00 | 20.00 | 30.00 | 40.00 | 50.00 | 7 | 1.50 x |") == 2
    for said in (few, many):
        assert len({line.count("|") for line in said.splitlines() if line.startswith("|")}) == 1


def test_what_is_missing_or_twice_is_refused(configs, tmp_path):
    with pytest.raises(ValueError, match="each seed once"):
        compare(configs, seeds=[1, 1], run_dir=str(tmp_path / "t"))
    with pytest.raises(ValueError, match="cannot be read"):
        compare([str(tmp_path / "none.yaml")], run_dir=str(tmp_path / "t"))


@pytest.mark.parametrize(("text", "said"), [("# nothing", "is empty"), ("[1]", "is a list")])
def test_a_file_without_settings_is_refused(text, said, tmp_path):
    (tmp_path / "none.yaml").write_text(text)
    with pytest.raises(ValueError, match=f"none.yaml {said}, where settings stand by names"):
        compare([str(tmp_path / "none.yaml")], run_dir=str(tmp_path / "table"))


def test_a_cell_that_diverges_keeps_no_other_from_the_table(configs, tmp_path):
    bad = small(recipe=methods.baseline, epochs=1, optimizer=functools.partial(torch.optim.SGD, lr=1e30))
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(bad.config()))
    folder = tmp_path / "table"
    with pytest.raises(NonFiniteLossError, match=r"table/bad-0: the loss was not finite"):
        compare([str(tmp_path / "bad.yaml"), configs[1]], seeds=[0], run_dir=str(folder), progress_bar=False)
    assert [(row["name"], row["n"]) for row in json.loads((folder / "comparison.json").read_text())] == [
        ("plain", 1)
    ]


def test_a_cell_in_another_process_is_left_to_it(configs, tmp_path):
    folder = tmp_path / "table"
    with try_lock(folder / "cgl-0") as free:
        assert free
        rows = compare(configs, seeds=[0], run_dir=str(folder), progress_bar=False)
    assert [(row["name"], row["n"]) for row in rows] == [("plain", 1)]


def test_overrides_stand_in_place_of_every_configuration_and_are_told(tmp_path, monkeypatch):
    made = []

    def train(settings, *, run_dir, **_):
        made.append((run_dir.name, settings.epochs, settings.optimizer.keywords["lr"], settings.method_name))
        raise NonFiniteLossError("no training here")

    monkeypatch.setattr("studygroup.training.compare_configs.train", train)
    for name, recipe in (("one", "dml"), ("two", "baseline")):
        (tmp_path / f"{name}.yaml").write_text(f"recipe: {recipe}\nepochs: 7\noptimizer: SGD\n")
    configs = [str(tmp_path / f"{name}.yaml") for name in ("one", "two")]
    changes = {"epochs": 3, "optimizer.lr": 0.25}
    with pytest.raises(NonFiniteLossError):
        compare(configs, overrides=changes, seeds=[4], run_dir=str(tmp_path / "runs"))
    assert made == [("one-4", 3, 0.25, "dml"), ("two-4", 3, 0.25, "baseline")]
    said = (tmp_path / "runs" / "comparison.md").read_text()
    assert said.endswith("\nIn place of every configuration's own: epochs = 3, optimizer.lr = 0.25.\n")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epcohs": 3}, "there is no setting 'epcohs' to override .near: 'epochs'"),
        ({"seed": 3}, "seed cannot be overridden in a comparison; give --seeds"),
        ({"recipe.temprature": 3.0}, "one.yaml: .*temprature"),
        ({"epochs": "many"}, "one.yaml: .*many"),
    ],
)
def test_overrides_of_what_is_no_setting_are_refused(changes, said, tmp_path):
    (tmp_path / "one.yaml").write_text("recipe: dml\n")
    with pytest.raises(ValueError, match=said):
        compare([str(tmp_path / "one.yaml")], overrides=changes, run_dir=str(tmp_path / "runs"))
