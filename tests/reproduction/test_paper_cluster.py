"""One coordinator hands out runs, keeps what comes back, and tells what went wrong."""

import json
import sys
from dataclasses import dataclass, field

import pytest
from cluster_papers import ANSWER, TABLE, lab, results, two_runs
from small_papers import papers

from reproduction import cluster
from reproduction.benchmarks.environment import provenance
from reproduction.cluster import Job, Order, Outcome, hand_out, on_ray
from reproduction.reading import table_called
from reproduction.results import read_stopped
from reproduction.runner import missing_runs, train_runs
from reproduction.view import View
from studygroup.training.callbacks import NonFiniteLossError
from studygroup.training.folder import try_lock

FAILED = Outcome(words="ValueError: no", failed=True)


@pytest.fixture(scope="module")
def runs():
    return two_runs()


@dataclass
class FakeJob(Job):
    """Ends when it was asked so often."""

    answer: Outcome
    asked: int = 1
    log: list = field(default_factory=list)

    @property
    def place(self):
        return "log here"

    def done(self):
        self.asked -= 1
        return self.asked <= 0

    def outcome(self):
        self.log.append("outcome")
        return self.answer


def test_figures_are_kept_with_the_machine_that_made_them(runs, tmp_path, capsys):
    jobs = [FakeJob(ANSWER, asked=3), FakeJob(Outcome({"test": 0.25}))]
    hand_out(TABLE, lab(tmp_path), runs, lambda batch: jobs, at_once=None)
    assert results(tmp_path) == {"baseline": 0.5, "CGL": 0.25}
    made = json.loads((tmp_path / "results" / "cgl-table-2.json").read_text())["made"]
    command = provenance()["command"]  # the coordinator's
    assert made == [{"command": command}, {"cpu": "another", "command": command}]  # the second ended first
    assert [job.log for job in jobs] == [["outcome"]] * 2
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"cgl-table-2, run 1 of 2: {runs[0]}: log here"
    assert said[2:] == [f"{runs[1]}: finished", f"{runs[0]}: finished"]


def test_a_failed_run_is_told_and_the_others_go_on(runs, tmp_path, capsys):
    jobs = [FakeJob(FAILED), FakeJob(ANSWER, asked=3)]
    with pytest.raises(RuntimeError, match="1 of 2 runs failed, see above; what is finished is kept"):
        hand_out(TABLE, lab(tmp_path), runs, lambda batch: jobs, at_once=None)
    assert results(tmp_path) == {"CGL": 0.5}
    assert f"{runs[0]}: ValueError: no (log here)" in capsys.readouterr().err
    assert jobs[0].log == ["outcome"]


def test_a_run_that_is_left_is_no_failure(runs, tmp_path, capsys):
    hand_out(
        TABLE, lab(tmp_path), runs[:1], lambda batch: [FakeJob(Outcome(words="elsewhere"))], at_once=None
    )
    assert f"{runs[0]}: elsewhere (log here)" in capsys.readouterr().err
    assert results(tmp_path) == {}


def test_a_run_whose_loss_is_no_number_is_not_made_again(runs, tmp_path):
    here, outcome = lab(tmp_path), Outcome(words="loss is nan", stopped=True)
    assert missing_runs(runs, here) == runs
    hand_out(TABLE, here, runs[:1], lambda batch: [FakeJob(outcome)], at_once=None)
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


def test_no_more_than_asked_at_once_and_in_order(runs, tmp_path):
    many, given, alive = (*runs, *runs, *runs), [], []

    def start(batch):
        jobs = [FakeJob(ANSWER, asked=2 + len(given) % 2) for _ in batch]
        alive[:] = [job for job in alive if job.asked > 0] + jobs
        given.append((len(batch), len(alive), [run.cell.place[1] for run in batch]))
        return jobs

    hand_out(TABLE, lab(tmp_path), many, start, at_once=4)
    assert given[0] == (4, 4, ["baseline", "CGL", "baseline", "CGL"])
    assert given[1][2] == ["baseline", "CGL"]
    assert max(together for _, together, _ in given) == 4
    assert sum(number for number, _, _ in given) == 6


def test_an_order_makes_the_run(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "make", lambda lab, run: {"of": run.cell.place[1], "in": lab.run_dir})
    outcome = Order(lab(tmp_path), runs[1])()
    assert outcome.found == {"of": "CGL", "in": tmp_path}
    assert outcome.where == provenance()
    assert not outcome.failed


@pytest.mark.parametrize(
    ("error", "words", "failed"),
    [
        (NonFiniteLossError("loss is nan"), "loss is nan", False),
        (KeyError("x"), "KeyError: 'x'", True),
    ],
)
def test_an_order_says_what_went_wrong(runs, tmp_path, monkeypatch, capsys, error, words, failed):
    def fails(lab, run):
        raise error

    monkeypatch.setattr(cluster, "make", fails)
    outcome = Order(lab(tmp_path), runs[0])()
    assert (outcome.found, outcome.words, outcome.failed) == (None, words, failed)
    assert outcome.stopped is not failed
    assert ("Traceback" in capsys.readouterr().err) == failed


def test_an_order_leaves_a_folder_that_stays_held(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "make", lambda lab, run: {})
    here = lab(tmp_path)
    with try_lock(here.folder(runs[0].key, 0).path) as free:
        assert free
        assert Order(here, runs[0], patience=0.05)().words == "in hand elsewhere"
    assert Order(here, runs[0])().found == {}


def test_an_order_waits_for_a_folder_that_is_let_go_of(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "make", lambda lab, run: {})
    here, rest = lab(tmp_path), []
    folder = try_lock(here.folder(runs[0].key, 0).path)
    assert folder.__enter__()

    def sleep(seconds):
        rest.append(seconds)
        if len(rest) == 3:
            folder.__exit__(None, None, None)

    monkeypatch.setattr(cluster.time, "sleep", sleep)
    assert Order(here, runs[0], patience=60)().found == {}
    assert rest == [2.0] * 3


def test_one_call_at_a_time_hands_out_to_ray(runs, tmp_path):
    with try_lock(tmp_path / "jobs" / "ray"), pytest.raises(ValueError, match="another call with --on ray"):
        on_ray(TABLE, lab(tmp_path), runs, jobs=None, cluster={})


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
