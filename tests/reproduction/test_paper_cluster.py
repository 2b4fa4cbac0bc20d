"""What comes back from a cluster is kept with the table, and options that do not fit are refused."""

import json
import sys

import pytest
from cluster_papers import ANSWER, TABLE, lab, results, two_runs
from small_papers import papers

from reproduction import cluster
from reproduction.benchmarks.environment import provenance
from reproduction.cluster import Order, keep_outcome
from reproduction.reading import table_called
from reproduction.results import read_stopped
from reproduction.runner import missing_runs, train_runs
from reproduction.view import View
from studygroup.training.callbacks import NonFiniteLossError
from studygroup.training.cluster import Outcome


@pytest.fixture(scope="module")
def runs():
    return two_runs()


def test_figures_are_kept_with_the_machine_that_made_them(runs, tmp_path):
    here = lab(tmp_path)
    keep_outcome(TABLE, Order(here, runs[0]), ANSWER)
    keep_outcome(TABLE, Order(here, runs[1]), Outcome(({"test": 0.25}, {})))
    assert results(tmp_path) == {"baseline": 0.5, "CGL": 0.25}
    made = json.loads((tmp_path / "results" / "cgl-table-2.json").read_text())["made"]
    command = provenance()["command"]  # the coordinator's
    assert made == [{"cpu": "another", "command": command}, {"command": command}]


def test_nothing_is_kept_of_what_failed_or_was_left(runs, tmp_path):
    for outcome in (Outcome(words="ValueError: no", failed=True), Outcome(words="in hand elsewhere")):
        keep_outcome(TABLE, Order(lab(tmp_path), runs[0]), outcome)
    assert results(tmp_path) == {}
    assert read_stopped(lab(tmp_path).results_dir) == {}


def test_a_run_whose_loss_is_no_number_is_not_made_again(runs, tmp_path):
    here, outcome = lab(tmp_path), Outcome(words="loss is nan", stopped=True)
    assert missing_runs(runs, here) == runs
    keep_outcome(TABLE, Order(here, runs[0]), outcome)
    assert missing_runs(runs, here) == runs[1:]
    assert read_stopped(here.results_dir) == {f"{runs[0].key}-0": "loss is nan"}
    assert (
        "ResNet-18, CIFAR-10 | baseline, seed 0: no figures, loss is nan" in View(TABLE, here, {}).remarks()
    )
    assert not [one for one in View(table_called("cgl-table-4"), here, {}).remarks() if "no figures" in one]


def test_so_it_is_where_runs_are_made_here(runs, tmp_path, monkeypatch, capsys):
    def fails(lab, run):
        raise NonFiniteLossError("loss is nan")

    monkeypatch.setattr("reproduction.runner.make", fails)
    for told in (1, 0):  # the second time it is not tried
        train_runs(TABLE, lab(tmp_path), runs[:1])
        assert capsys.readouterr().err.count(f"{runs[0]}: loss is nan") == told


def test_an_order_makes_the_run(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "make", lambda lab, run: {"of": run.cell.place[1], "in": lab.run_dir})
    order = Order(lab(tmp_path), runs[1])
    assert order() == ({"of": "CGL", "in": tmp_path}, provenance())
    assert order.folder == lab(tmp_path).folder(runs[1].key, 0).path
    assert (order.name, str(order)) == (runs[1].name, str(runs[1]))


def test_a_missing_package_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert papers("run", tmp_path, "--on=ray", "--data=cifar10=digits") == 1
    said = capsys.readouterr().err
    assert "--on ray needs a package more" in said
    assert "pip install 'studygroup[cluster]'" in said


def test_what_does_not_fit_is_said(tmp_path, capsys):
    assert papers("run", tmp_path, '--cluster={"timeout_min": 1}', "--data=cifar10=digits") == 1
    assert "is for --on ray; give that" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_ray_is_told_in_two_parts(tmp_path, capsys):
    pytest.importorskip("ray", reason="Ray is not installed (240 MB; studygroup[cluster])")
    assert papers("run", tmp_path, "--on=ray", '--cluster={"num_gpus": 1}', "--data=cifar10=digits") == 1
    assert '--on ray does not know num_gpus; write --cluster \'{"init"' in capsys.readouterr().err
