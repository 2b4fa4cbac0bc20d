"""`compare` and `tune` on a cluster of Ray with several nodes, one of which dies in the middle."""

import csv
import json

import pytest
import yaml

from helpers.losing_node import with_a_node_lost
from helpers.small_run import small
from studygroup.training import compare, methods, tune

pytestmark = pytest.mark.long
CLOCKS = ("seconds", "spent")


@pytest.fixture(autouse=True)
def with_ray():
    pytest.importorskip("ray", reason="Ray is not installed (240 MB; studygroup[cluster])")


def figures(folder):
    """What a comparison holds of its runs, without what a clock says."""
    with (folder / "comparison.csv").open(newline="") as file:
        return [{k: v for k, v in line.items() if not k.endswith(CLOCKS)} for line in csv.DictReader(file)]


def test_a_comparison_has_the_figures_of_one_process(tmp_path):
    configs = []
    for name, recipe in (("cgl", small().recipe), ("plain", methods.baseline)):
        configs.append(tmp_path / f"{name}.yaml")
        configs[-1].write_text(yaml.safe_dump(small(recipe=recipe, epochs=2).config()))
    names = [str(config) for config in configs]
    compare(names, seeds=[0, 1], run_dir=str(tmp_path / "whole"), progress_bar=False)
    words = ["compare", f"--configs={json.dumps(names)}", "--seeds=[0, 1]", f"--run_dir={tmp_path / 'ray'}"]
    steps = with_a_node_lost("studygroup", words, tmp_path)
    assert len(steps) == 5  # processes that trained: one for each run, and one again
    assert sum(steps) > 2 * (6 + 16)
    assert len(figures(tmp_path / "ray")) == 4
    assert figures(tmp_path / "ray") == figures(tmp_path / "whole")
    (plain,) = [
        row for row in json.loads((tmp_path / "ray/comparison.json").read_text()) if row["name"] == "plain"
    ]
    assert plain["n"] == 2
    for seed in (0, 1):  # measured where they were trained, by the last process that trained them
        assert (tmp_path / f"ray/cgl-{seed}/cost.json").exists()


def test_a_search_tries_all_that_one_process_tries(tmp_path):
    search, settings = {"optimizer.lr": [0.001, 0.003, 0.01]}, small(epochs=2)
    whole = tune(settings, search=search, sampler="grid", run_dir=tmp_path / "whole", progress_bar=False)
    config = tmp_path / "search.yaml"
    config.write_text(yaml.safe_dump({**settings.config(), "search": search, "sampler": "grid"}))
    words = ["tune", f"--config={config}", f"--run_dir={tmp_path / 'ray'}"]
    assert len(with_a_node_lost("studygroup", words, tmp_path)) == 4  # one for each trial, and one again
    found = json.loads((tmp_path / "ray/trials.json").read_text())
    assert [row["state"] for row in found] == ["finished"] * 3
    assert by_values(found) == by_values(whole.trials)


def by_values(trials):
    return sorted((row["values"]["optimizer.lr"], row["holdout"]) for row in trials)
