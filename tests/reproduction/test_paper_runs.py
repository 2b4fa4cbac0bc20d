"""A table is run on the command line: every run once, in order of value, however often and by whomever it is done."""

import dataclasses
import json
import signal
from pathlib import Path

import pytest
import torch
from small_papers import SMALL, kept, papers

from helpers.killing import started
from reproduction.benchmarks.environment import provenance
from reproduction.benchmarks.regimes import conditions, training_accuracy
from reproduction.command import _lab
from reproduction.reading import table_called
from reproduction.runner import has_words, make, missing_runs, train_runs, wanted_runs, with_data
from reproduction.view import view_of
from studygroup.training.folder import try_lock
from studygroup.training.load_run import load_run

HERE = Path(__file__).parent
CELLS = ("ResNet-18, CIFAR-10 | baseline", "ResNet-18, CIFAR-10 | CGL")


def lab(folder, *, data=("cifar10=digits",)):
    change = json.loads(SMALL[-1].partition("=")[2])
    options = {"results": None, "rows": 200, "epochs": 2, "run_dir": str(folder), "scale": "small"}
    return _lab({**options, "change": change, "data": list(data)})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A table that was run with seed 0, then with seed 1."""
    folder = tmp_path_factory.mktemp("whole")
    first = [option for option in SMALL if not option.startswith("--seeds")]
    assert papers("run", folder, "--seeds=1", "--data=cifar10=digits", sizes=first) == 0
    finished = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/summary.json")}
    assert len(finished) == 2
    assert papers("run", folder) == 0  # knows where the data are
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    return folder


@pytest.mark.slow
def test_every_cell_has_its_seeds(whole, capsys):
    assert sorted(kept(whole)) == sorted((cell, seed) for cell in CELLS for seed in "01")
    for run in kept(whole).values():
        assert 0 <= run["test"] <= run["test_top5"] <= 1
    folders = sorted(path.name for path in (whole / "runs").iterdir())
    keys = json.loads((whole / "results" / "cgl-table-2.json").read_text())["cells"]
    assert folders == sorted(f"{key}-{seed}" for key in keys for seed in range(2))


@pytest.mark.slow
def test_a_regime_is_judged_by_its_plain_network(whole):
    here, row, table = lab(whole), "ResNet-18, CIFAR-10", table_called("cgl-table-2")
    found = {column: some for (_, column), some in here.found(table).items()}
    one = conditions(here, table, found, row)
    runs = found["baseline"].runs.values()
    assert one["holdout"] == pytest.approx(100 * sum(run["holdout"] for run in runs) / 2)
    assert one["gap"] == pytest.approx(one["training"] - one["holdout"])
    assert one["updates"] == {"baseline": 2 * 3, "CGL": 2 * 3}  # 180 rows by 64; 22 of a student by 8
    spent = [run["spent"] for run in found["CGL"].runs.values()]
    assert one["hours_of_three_seeds"]["CGL"] == pytest.approx(3 * sum(spent) / 2 / 3600)
    assert one["late_change"] is None  # of two epochs
    with load_run(here.folder(here.key(table.cells[row, "baseline"]), 0).path) as run:
        x, y = next(iter(run.datamodule.evaluation_batches(run.data.train, torch.device("cpu"))))
        right = (run.load()(x).argmax(1) == y).sum().item()
        assert training_accuracy(run.folder.path) == pytest.approx(100 * right / len(run.data.train))


@pytest.mark.slow
def test_results_say_how_they_were_made(whole, monkeypatch):
    content = json.loads((whole / "results" / "cgl-table-2.json").read_text())
    assert content["made"][0].keys() >= {"command", "cpu", "cores", "threads", "python", "torch"}
    given = [
        "--data",
        "imdb=/c/d",
        "/e/f",
        "--run_dir",
        "/g/h",
        "--results=/i",
        "--seeds=3",
        "--data=yelp=a/b",
    ]
    monkeypatch.setattr("sys.argv", ["/a/reproduction/__main__.py", "run", *given])
    assert provenance()["command"] == (
        "python -m reproduction run --data imdb=FOLDER/d FOLDER/f "
        "--run_dir RUN_DIR --results=RESULTS --seeds=3 --data=yelp=a/b"
    )
    for cell in content["cells"].values():
        assert cell["data"] == cell["settings"]["data"] == "digits"
        assert cell["settings"]["holdout"] == 20


@pytest.mark.slow
def test_what_is_finished_is_not_run_again(whole, capsys):
    before = {path: path.stat().st_mtime_ns for path in whole.glob("runs/*/*")}
    assert papers("run", whole) == 0
    assert {path: path.stat().st_mtime_ns for path in whole.glob("runs/*/*")} == before
    said = capsys.readouterr()
    assert "0 of 4 runs are missing." in said.out
    assert "CIFAR-10 is `digits` here." in said.out
    assert "run 1" not in said.err


@pytest.mark.slow
def test_lost_results_are_found_in_the_runs(whole, capsys):
    before, file = kept(whole), whole / "results" / "cgl-table-2.json"
    finished = {path: path.stat().st_mtime_ns for path in whole.glob("runs/*/summary.json")}
    file.unlink()
    assert papers("run", whole) == 0
    assert kept(whole) == before
    assert {path: path.stat().st_mtime_ns for path in finished} == finished


def results_of(folder, change):
    """Changes the kept figures of every run."""
    file = folder / "results" / "cgl-table-2.json"
    content = json.loads(file.read_text())
    for cell in content["cells"].values():
        cell["seeds"] = {seed: change(dict(run)) for seed, run in cell["seeds"].items()}
    file.write_text(json.dumps(content))


@pytest.mark.slow
def test_figures_of_earlier_days_are_renewed_without_training(whole, capsys):
    before = kept(whole)
    for run in before.values():
        assert run["parameters"] > 0
        assert [len(values) for values in run["curve"].values()] == [2, 2]  # seconds aside
        assert run["curve"].keys() == {"updates", "holdout"}
        assert run["curve"]["updates"][-1] == run["updates"]
    finished = {path: path.stat().st_mtime_ns for path in whole.glob("runs/*/summary.json")}

    def old(run):
        return {name: value for name, value in run.items() if name not in ("curve", "parameters", "spent")}

    results_of(whole, old)
    assert papers("show", whole, sizes=SMALL[:2] + SMALL[-1:]) == 0  # they still read
    assert papers("plan", whole) == 0
    said = capsys.readouterr().out
    assert "4 of 4 runs are missing, about 0.0 hours" in said
    assert "4 of them are trained and lack an analysis or a curve only." in said
    assert papers("run", whole) == 0
    assert "0 of 4 runs are missing." in capsys.readouterr().out
    assert kept(whole) == before
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    content = json.loads((whole / "results" / "cgl-table-2.json").read_text())
    runs = [run for cell in content["cells"].values() for run in cell["seeds"].values()]
    assert {run["made"] for run in runs} == {0}  # as when they were trained
    for run in runs:
        assert 0 < run["spent"] == run["curve"]["spent"][-1]


@pytest.mark.slow
def test_results_without_the_runs_are_left_as_they_are(whole, tmp_path):
    (tmp_path / "results").mkdir()
    text = (whole / "results" / "cgl-table-2.json").read_text()
    (tmp_path / "results" / "cgl-table-2.json").write_text(text.replace('"curve"', '"bend"'))
    here = lab(tmp_path)
    assert (
        missing_runs(wanted_runs(table_called("cgl-table-2"), here, seeds=2, only=["CIFAR-10, CGL"]), here)
        == ()
    )


@pytest.mark.slow
def test_an_analysis_is_made_once_and_without_training(whole, monkeypatch):
    asked = []

    def made_up(folder, name):
        asked.append((folder.path.name, name))
        return {"drop": 1.5, "sigmas": [0.02]}

    monkeypatch.setattr("reproduction.runner.analyse", made_up)
    here, figure = lab(whole), table_called("cgl-figure-6")
    table = table_called("cgl-table-2")
    place = ("ResNet-18, CIFAR-10", "CGL")
    # figure 6 is of CIFAR-100; the same measure of a cell that is trained here
    cell = dataclasses.replace(
        table.cells[place], measure=figure.cells["ResNet-18, CIFAR-100", "CGL"].measure
    )
    noisy = dataclasses.replace(figure, cells={place: cell})
    runs = wanted_runs(noisy, here, seeds=2)
    assert missing_runs(runs, here) == runs
    assert here.found(noisy) == {}
    finished = {path: path.stat().st_mtime_ns for path in whole.glob("runs/*/summary.json")}
    train_runs(noisy, here, runs)
    assert asked == [(f"{run.key}-{run.seed}", "flatness") for run in runs]
    assert missing_runs(runs, here) == ()
    assert view_of(noisy, here).values == {place: [1.5, 1.5]}
    train_runs(noisy, here, runs)
    assert len(asked) == 2
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    # the table that has the runs as well shows what it had
    assert view_of(table, here).values[place] == [
        100 * kept(whole)["{} | {}".format(*place), seed]["test"] for seed in "01"
    ]
    (whole / "results" / "cgl-figure-6.json").unlink()


@pytest.mark.slow
def test_flatness_is_measured_on_the_run_folder(whole):
    here, table = lab(whole), table_called("cgl-table-2")
    place = ("ResNet-18, CIFAR-10", "CGL")
    measure = table_called("cgl-figure-6").cells["ResNet-18, CIFAR-100", "CGL"].measure
    noisy = dataclasses.replace(
        table, cells={place: dataclasses.replace(table.cells[place], measure=measure)}
    )
    (run,) = wanted_runs(noisy, here, seeds=1)
    found = make(here, run)
    assert len(found["flatness"]["accuracy"]) == len(found["flatness"]["sigmas"])
    assert -100 <= found["flatness"]["drop"] <= 100
    assert found["test"] == kept(whole)["{} | {}".format(*place), "0"]["test"]


@pytest.mark.slow
def test_another_table_has_the_runs_it_shares(whole):
    here = lab(whole)
    table = table_called("cgl-table-2")
    everything = wanted_runs(table, here, seeds=3, only=["CIFAR-10"])
    assert [(run.seed, run.cell.place[1]) for run in everything][:6] == [
        (0, column) for column in table.columns
    ]
    left = missing_runs(everything, here)
    assert len(everything) - len(left) == 4
    # of figure 4, whose data are CIFAR-100, nothing is there
    figure = table_called("cgl-figure-4")
    assert here.found(figure) == {}
    assert set(here.found(table)) == {tuple(cell.split(" | ")) for cell in CELLS}


@pytest.mark.slow
def test_a_run_in_hand_elsewhere_is_left_alone(whole, tmp_path, capsys):
    here = lab(tmp_path)
    table = table_called("cgl-table-2")
    runs = wanted_runs(table, here, seeds=1, only=["CIFAR-10, baseline"])
    with try_lock(here.folder(runs[0].key, 0).path) as free:
        assert free
        train_runs(table, here, runs)
    assert missing_runs(runs, here) == runs
    assert not here.folder(runs[0].key, 0).config.exists()


@pytest.mark.slow
def test_results_on_other_data_are_refused(whole, tmp_path):
    here = lab(whole, data=[f"cifar10={tmp_path}"])
    runs = wanted_runs(table_called("cgl-table-2"), here, seeds=1, only=["CIFAR-10, baseline"])
    with pytest.raises(ValueError, match="results on digits where"):
        missing_runs(runs, here)


@pytest.mark.slow
def test_a_plan_measures_what_is_missing(whole, capsys, monkeypatch):
    assert papers("plan", whole) == 0
    assert "0 of 4 runs are missing, about 0.0 hours" in capsys.readouterr().out
    assert papers("plan", whole, "--seeds=3") == 0
    said = capsys.readouterr()
    assert "2 of 6 runs are missing" in said.out
    baseline = next(line for line in said.out.splitlines() if CELLS[0] in line).split("  ")
    # 180 rows in batches of 64, twice
    assert [word.strip() for word in baseline if word.strip()][1:3] == ["2", "6"]
    assert said.err.count("measuring") == 2
    assert papers("plan", whole, "--seeds=3") == 0
    assert "measuring" not in capsys.readouterr().err
    price = next(iter(json.loads((whole / "results" / "prices.json").read_text()).values()))
    assert price["step"] > 0
    assert price["batches"] == 3  # hold-out rows twice, test rows once
    monkeypatch.setattr("reproduction.plan._machine", lambda: "another")
    assert papers("plan", whole, "--seeds=3") == 0
    assert capsys.readouterr().err.count("measuring") == 2


@pytest.mark.slow
def test_data_that_cannot_be_opened_do_not_keep_the_others(tmp_path, capsys):
    cells = [
        "--only=ResNet-18, CIFAR-100, baseline",
        "--only=ResNet-18, CIFAR-10, baseline",
        *SMALL[:2],
        SMALL[-1],
    ]
    (tmp_path / "data.json").write_text(json.dumps({"cifar100": str(tmp_path / "nowhere")}))
    places = ["--data=cifar10=digits"]
    assert papers("plan", tmp_path, "--seeds=1", *places, sizes=cells) == 0
    said = capsys.readouterr()
    assert "left out: CIFAR-100: there is no folder" in said.err
    assert "2 of 2 runs are missing" in said.out
    assert "1 of them are not counted: their data cannot be opened" in said.out
    assert CELLS[0] in said.out
    assert papers("run", tmp_path, "--seeds=1", *places, sizes=cells) == 1
    assert "CIFAR-100: there is no folder" in capsys.readouterr().err
    assert [place for place, _ in kept(tmp_path)] == [CELLS[0]]
    assert papers("plan", tmp_path, "--seeds=1", *places, sizes=cells) == 1  # there is no other any more


@pytest.mark.slow
def test_a_word_may_be_part_of_a_column():
    cell = table_called("cgl-table-6").cells["ResNet-18, CIFAR-100", "no imitation, without"]
    assert has_words(cell, "CIFAR-100, without")
    assert not has_words(cell, "CIFAR-10, without")
    assert has_words(cell, cell.label)  # as messages have it
    assert not has_words(cell, "ResNet-18, CIFAR-10 | no imitation, without")


@pytest.mark.slow
def test_data_without_a_place_are_left_out_and_named(tmp_path, capsys):
    here, table = lab(tmp_path), table_called("intra-table-2")
    runs = wanted_runs(table, here, seeds=1)
    stl10 = dataclasses.replace(here, data={"stl10": "somewhere"})
    left = with_data(runs, stl10)
    assert {run.cell.data.short for run in left} == {"stl10"}
    assert len(left) == 15  # of 29
    assert "left out: ImageNet32 has no place; give --data imagenet32=FOLDER" in capsys.readouterr().err
    with pytest.raises(ValueError, match="give --data imagenet32=FOLDER"):
        with_data([run for run in runs if run not in left], stl10)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("id", "how"),
    [
        ("cgl-figure-3b", "counted"),
        ("cgl-appendix-convergence", "made of other runs"),
        ("cgl-table-1", "published only"),
    ],
)
def test_tables_without_runs_say_where_their_numbers_are_from(tmp_path, id, how):
    said = f"nothing is trained for {id}, which is {how}; see it with `python -m reproduction show`"
    with pytest.raises(ValueError, match=said):
        wanted_runs(table_called(id), lab(tmp_path), seeds=1)


@pytest.mark.slow
def test_what_cannot_be_run_is_said(tmp_path, capsys):
    assert papers("run", tmp_path, "--only=CIFAR-10, CLG", sizes=[]) == 1
    assert "no cell of cgl-table-2 has the words CIFAR-10, CLG" in capsys.readouterr().err
    assert papers("run", tmp_path, "--data=cifar=digits", sizes=[]) == 1
    assert "NAME=FOLDER" in capsys.readouterr().err
    assert papers("run", tmp_path, f"--data=cifar10={tmp_path}/x", sizes=[]) == 1
    assert f"there is no folder {tmp_path}/x" in capsys.readouterr().err
    assert json.loads((tmp_path / "data.json").read_text()) == {}


@pytest.mark.slow
def test_a_place_gives_way_until_something_is_trained(whole, tmp_path):
    lab(tmp_path, data=["cifar10=degits"]).with_saved_places()
    assert lab(tmp_path).with_saved_places().data == {"cifar10": "digits"}
    assert lab(tmp_path, data=()).with_places().data == {"cifar10": "digits"}
    with pytest.raises(ValueError, match="have cifar10 from digits, not from degits; give another --run_dir"):
        lab(whole, data=["cifar10=degits"]).with_places()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cgl-table-2", "stopped", "prices"])
def test_results_that_are_something_else_are_named(tmp_path, capsys, name):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / f"{name}.json").write_text("[1]")
    assert papers("plan", tmp_path, "--data=cifar10=digits") == 1
    assert f"{name}.json holds a list" in capsys.readouterr().err


def run(folder, update):
    return started(HERE / "killed_papers.py", folder, str(update))


@pytest.mark.slow
def test_kill_and_go_on(whole, tmp_path):
    # a baseline takes 2 x 3 updates, CGL 2 x 1: in the second epoch of the first run, then in the second run
    for update in (5, 3 + 1):
        assert run(tmp_path, update).wait() == -signal.SIGKILL
    assert len(kept(tmp_path)) == 1
    assert run(tmp_path, 0).wait() == 0
    assert kept(tmp_path) == kept(whole)


@pytest.mark.slow
def test_several_processes_do_every_run_once(whole, tmp_path, capfd):
    assert papers("run", tmp_path, "--jobs=2", "--data=cifar10=digits") == 0
    assert kept(tmp_path) == kept(whole)
    said = capfd.readouterr()
    assert said.err.count("cgl-table-2, run ") == 4
    assert "0 of 4 runs are missing." in said.out
