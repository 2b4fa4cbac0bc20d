"""The GPU command on the CPU, with tiny sizes: what it checks, measures, and leaves when it is cut off."""

import json
import time
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from made_up_pictures import made_up
from torch import nn

import studygroup as sg
from reproduction.gpu import checks, command, comparison, exactness, network, pool, standin, training
from reproduction.gpu.budget import Clock, work_through
from reproduction.gpu.methods import METHODS
from reproduction.gpu.pictures import save
from reproduction.gpu.speed import Setting, measure
from studygroup.models.resnet import ResNet

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]


def thin(*, classes, width, pixels):
    """Two groups of one block in the place of ResNet-18."""
    usual = network.full(classes=classes, width=width, pixels=pixels)
    return replace(usual, build=partial(ResNet, [1, 1], classes=classes, width=width))


@pytest.fixture
def dry(tmp_path, monkeypatch):
    """Runs the command on the CPU and gives its exit status and its result."""
    save(made_up(), tmp_path / "pictures.pt")
    for module in (command, comparison):
        monkeypatch.setattr(module, "full", thin)
    monkeypatch.setattr(comparison, "TIMED_STEPS", 3)

    def run(*more, minutes=5.0):
        usual = (
            f"run --device cpu --minutes {minutes} --methods baseline --rows 16 --few 8 --width 16 --pixels 8"
            " --blocks 2 --precision float32 --no-compile --most-epochs 2"
        )
        places = ["--data", str(tmp_path / "pictures.pt"), "--json", str(tmp_path / "gpu.json")]
        status = command.main([*usual.split(), *places, *more])
        return status, json.loads((tmp_path / "gpu.json").read_text())

    run.path = tmp_path / "gpu.json"
    return run


@pytest.mark.slow
def test_all_phases(dry, capsys):
    status, found = dry()
    assert json.loads(capsys.readouterr().out) == found
    assert found["finished"]
    assert found["environment"]["torch"] == torch.__version__

    checked = found["checks"]
    assert status == 0
    assert (checked["failed"], checked["not_done"]) == ([], [])
    for result in checked["results"].values():
        assert result["float32"]["largest_difference"] < 1e-4
        assert result["float64"]["largest_difference"] < 1e-12
        assert result["float32"]["tensors"] > 20
        assert 0 < result["bfloat16"]["gradient_difference"] < 0.15
        assert 0 < result["float16"]["gradient_difference"] < result["bfloat16"]["gradient_difference"]
        assert "nothing to wait for" in result["waits_float32"]["skipped"]

    speed = found["speed"]["results"]
    assert [*speed] == [
        "loop", "baseline", "cgl", "loop, 8 rows", "baseline, 8 rows", "cgl, 8 rows", "baseline again"
    ]  # fmt: skip
    for name, result in speed.items():
        loop = speed["loop, 8 rows" if "8 rows" in name else "loop"]
        assert result["over_loop"] == pytest.approx(result["milliseconds"] / loop["milliseconds"], abs=1e-3)
        rate = 1000 * result["rows"] / result["milliseconds"]
        assert result["images_per_second"] == pytest.approx(rate, abs=0.06, rel=1e-3)
        assert result["spread"][0] <= result["milliseconds"] <= result["spread"][1]
    assert speed["baseline"]["trainable"] == speed["loop"]["trainable"] < speed["cgl"]["trainable"]

    compared = found["comparison"]
    assert compared["rows"] == {"train": 160, "holdout": 40, "test": 40}
    taken = sum(compared["measured"][name]["step"] * 10 for name in ("baseline", "cgl"))
    assert compared["seconds_an_epoch"] == pytest.approx(taken, abs=1e-3)
    assert compared["epochs"] == 2
    needs = 2 * compared["seconds_an_epoch"] + compared["seconds_to_score"]
    assert needs <= comparison.SHARE * compared["seconds_left"]
    plain, group = (compared["results"][name] for name in ("baseline", "cgl"))
    for result in (plain, group):
        assert (result["epochs"], result["steps"], result["rows_an_epoch"]) == (2, 20, 160)
        assert len(result["losses"]) == 2
        assert result["losses"][1] < result["losses"][0]
        assert result["test"]["chosen"] == result["test"]["each"][result["student"]]
        assert result["holdout"]["each"][result["student"]] == max(result["holdout"]["each"])
    assert plain["test"]["chosen"] > 0.5  # of four classes
    assert (len(plain["test"]["each"]), len(group["test"]["each"])) == (1, 8)


dropped = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""The signal may find Python in a weak reference's callback, which drops what is raised; it comes again."""


@pytest.mark.slow
@dropped
def test_what_is_cut_off_leaves_its_part(dry, monkeypatch):
    def slow(name, device):
        time.sleep(0.0 if name == "baseline" else 60.0)
        return {"passed": True}

    monkeypatch.setattr(checks, "recipe", slow)
    monkeypatch.setattr(command, "SHARES", {"checks": 0.1, "speed": 1e-6})
    monkeypatch.setattr(comparison, "epochs_that_fit", lambda *_, **__: 0)  # on any machine
    start = time.monotonic()
    status, found = dry("--methods", "baseline", "cgl", minutes=0.05)
    assert time.monotonic() - start < 30
    assert status == 1
    assert found["checks"]["results"] == {"baseline": {"passed": True}}
    assert found["checks"]["not_done"] == ["cgl"]
    assert found["checks"]["seconds"] == pytest.approx(0.3, abs=0.2)
    assert found["speed"]["results"] == {}
    assert "cgl, 8 rows" in found["speed"]["not_done"]
    assert found["comparison"]["not_done"] == ["baseline", "cgl"]
    assert "too_little_time" in found["comparison"]


@pytest.mark.slow
@dropped
def test_a_killed_run_leaves_the_phases_before(dry, monkeypatch):
    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(checks, "recipe", lambda name, device: {"passed": True})
    monkeypatch.setattr(command, "SHARES", {"checks": 0.1, "speed": 1e-6})
    monkeypatch.setattr(command, "compare", killed)
    with pytest.raises(KeyboardInterrupt):
        dry()
    found = json.loads(dry.path.read_text())
    assert not found["finished"]
    assert [*found["checks"]["results"]] == ["baseline"]
    assert "speed" in found
    assert "comparison" not in found


class _WrongOnTheDevice(torch.autograd.Function):
    """A gradient that is 1 % too large where the memory format is the device's."""

    @staticmethod
    def forward(ctx, x):
        ctx.wrong = x.is_contiguous(memory_format=torch.channels_last)
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 1.01 if ctx.wrong else gradient


class _Spoils(nn.Module):
    def forward(self, x):
        return _WrongOnTheDevice.apply(x)


def spoilt(case):
    """The plain network, whose layers below the last group get a wrong gradient on the device."""
    net = case.build()
    net.layer3.insert(0, _Spoils())
    return sg.recipes.baseline(net)


@pytest.mark.slow
def test_the_checks_see_a_spoilt_gradient(monkeypatch):
    monkeypatch.setitem(METHODS, "spoilt", spoilt)
    result = checks.recipe("spoilt", CPU)
    assert not result["passed"]
    for precision in ("float32", "float64"):
        assert not result[precision]["passed"]
        assert result[precision]["loss_difference"] < 1e-6
        assert result[precision]["largest_difference"] == pytest.approx(0.01, rel=1e-3)
        assert "layer3" not in result[precision]["where"]
    assert result["bfloat16"]["passed"]  # it compares the device with itself
    part = checks.check(["spoilt"], CPU, Clock(60), lambda part: None)
    assert part["failed"] == ["spoilt"]


FEW = ("baseline", "cgl", "okddip", "kdcl_linear", "intra_pull_push", "dml_in_turn")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in FEW else pytest.mark.long) for name in METHODS],
)
def test_every_recipe_passes_where_the_device_is_the_cpu(name):
    result = checks.recipe(name, CPU)
    assert result["passed"], result
    assert result["float64"]["largest_difference"] < 1e-11


@pytest.mark.slow
def test_a_missing_gradient_another_loss_and_no_number_fail():
    expected = exactness.Outcome(2.0, {"a": torch.ones(3), "b": torch.ones(3)})
    assert exactness.same(expected, expected, 1e-8)["passed"]
    lacking = exactness.same(exactness.Outcome(2.0, {"a": torch.ones(3)}), expected, 1e-8)
    assert not lacking["passed"]
    assert lacking["missing"] == ["b"]
    other = exactness.same(replace(expected, loss=2.02), expected, 1e-3)
    assert not other["passed"]
    assert other["loss_difference"] == pytest.approx(0.01)
    bad = replace(expected, tensors={"a": torch.tensor([1.0, torch.nan, 1.0]), "b": torch.ones(3)})
    assert not exactness.same(bad, expected, 1e-3)["passed"]
    half = exactness.close(bad, expected, torch.bfloat16)
    assert not half["passed"]
    assert not half["finite"]
    far = replace(expected, tensors={name: 1.2 * torch.ones(3) for name in "ab"})
    half = exactness.close(far, expected, torch.bfloat16)
    assert (half["passed"], half["gradient_difference"]) == (False, pytest.approx(0.2))


def test_waiting_is_found_and_counted(monkeypatch):
    modes = []
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)

    def step():
        if modes[-1] == "error":
            raise RuntimeError("called a synchronizing CUDA operation")
        for _ in range(3):
            warnings.warn("called a synchronizing CUDA operation", UserWarning, stacklevel=1)

    found = checks.found_waiting(step, times=3)
    (place,) = found["all"]
    assert found == {"passed": False, "first": "backward pass or optimiser", "all": {place: 3}}
    assert place.startswith(__file__)
    assert modes == ["error", "default", "warn", "default"]
    assert checks.found_waiting(lambda: None, times=3) == {"passed": True}


@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_no_recipe_waits_for_the_device():
    device = torch.device("cuda")
    for name, make in METHODS.items():
        found = checks.waits(make(network.small(nn.Dropout)).to(device), device, torch.bfloat16)
        assert found["passed"], (name, found)


def test_every_recipe_is_checked():
    assert [name for name in sg.recipes.__all__ if not any(known.startswith(name) for known in METHODS)] == []


def test_an_error_does_not_keep_others_from_their_turn():
    parts = []

    def broken():
        raise ZeroDivisionError("by zero")

    items = {"one": dict, "two": broken, "three": lambda: {"value": 3}}
    part = work_through(items, Clock(60), lambda part: parts.append(len(part["results"])))
    failed = {"error": "ZeroDivisionError: by zero"}
    assert part["results"] == {"one": {}, "two": failed, "three": {"value": 3}}
    assert part["not_done"] == []
    assert parts == [1, 2, 3, 3]


@pytest.mark.parametrize(
    ("left", "epoch", "scoring", "epochs"), [(100, 10, 5, 8), (100, 100, 0, 0), (5, 1, 10, 0), (-3, 1, 0, 0)]
)
def test_epochs_that_fit(left, epoch, scoring, epochs):
    assert comparison.epochs_that_fit(left, epoch=epoch, scoring=scoring) == epochs


@pytest.mark.slow
def test_a_schedule_that_outruns_its_time_is_given_up_and_not_scored():
    case = thin(classes=4, width=16, pixels=8)
    run = training.Run(METHODS["baseline"], case, made_up(), training.Recipe(16, dtype=torch.float32))
    found = training.whole_schedule(run, 3, Clock(0))
    assert found["given_up"] == "time was over in epoch 1"
    assert "test" not in found


@pytest.mark.slow
def test_rates_are_halved_at_the_milestones_and_students_have_rows_of_their_own():
    case = thin(classes=4, width=16, pixels=8)
    run = training.Run(METHODS["cgl"], case, made_up(), training.Recipe(16, dtype=torch.float32))
    assert run.steps == 10
    rates = []
    for number in range(10):
        run._order = lambda: ()  # no step
        list(run.epoch(number, 10))
        rates.append(run.optimiser.param_groups[0]["lr"] / run.recipe.descent.rate)
    assert rates == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]
    del run._order
    epochs = [torch.stack(list(run._order())) for _ in range(2)]
    assert not torch.equal(*epochs)
    for table in epochs:
        assert table.flatten().sort().values.tolist() == list(range(160))
        for student in range(8):
            own = table[:, run._owner == student].flatten().sort().values
            assert torch.equal(own, run._sets[student].sort().values)


@pytest.mark.slow
@pytest.mark.parametrize(("leader", "chosen"), [(None, 1), (0, 0)])
def test_the_student_is_chosen_on_holdout_rows_and_scored_on_test_rows(leader, chosen):
    labels = {"holdout": torch.tensor([0, 1]), "test": torch.tensor([0, 1, 1, 0])}
    logits = {
        "holdout": torch.tensor([[[2.0, 0.0], [2.0, 0.0]], [[2.0, 0.0], [0.0, 3.0]]]),
        "test": torch.tensor(
            [[[3.0, 0], [0, 3.0], [0, 3.0], [3.0, 0]], [[0, 1.0], [0, 1.0], [0, 1.0], [0, 5.0]]]
        ),
    }
    routes = replace(sg.routes.independent(students=2), leader=leader)
    net = nn.Linear(2, 2)
    task = sg.CollaborativeLearning(sg.StudyGroup(net, routes), [sg.objectives.Supervised()])
    found = training.scores(task, logits.__getitem__, labels)
    assert found == {
        "student": chosen,
        "holdout": {"each": [0.5, 1.0], "mean": 0.75, "ensemble": 1.0},
        "test": {"each": [1.0, 0.5], "mean": 0.75, "ensemble": 0.75, "chosen": [1.0, 0.5][chosen]},
    }


@pytest.mark.long
def test_methods_are_timed_in_every_setting():
    found = {}
    part = measure(
        ["baseline", "dml_in_turn"],
        thin(classes=10, width=16, pixels=8),
        CPU,
        Setting(16, dtype=torch.float32, blocks=1),
        Clock(300),
        found.update,
        few=8,
        compiled=False,
    )
    assert part["results"].keys() == found["results"].keys()
    assert part["not_done"] == []
    assert not [name for name, result in found["results"].items() if "error" in result]
    settings = {(r["rows"], r["precision"]) for r in found["results"].values()}
    assert settings == {(16, "float32"), (8, "float32")}
    assert found["results"]["dml_in_turn"]["over_plain"] > 1.5


@pytest.mark.slow
def test_the_standin_chooses_on_holdout_rows_and_trains_every_column(tmp_path, monkeypatch):
    save(made_up(size=16), tmp_path / "few.pt")
    monkeypatch.setattr(standin, "COLUMNS", ("baseline(2x)", "mid+pull-push+kernel"))
    monkeypatch.setattr(standin, "GRID_SEEDS", (100,))
    monkeypatch.setattr(standin, "GRID_SHARE", 0.5)
    monkeypatch.setattr(standin, "RATES", (0.02, 0.1))
    monkeypatch.setattr(standin, "PULL_PUSH", ((0.1, "flatten"),))
    monkeypatch.setattr(standin, "KERNEL", ())
    words = (
        "standin --device cpu --minutes 4 --seeds 3 --rows 16 --width 16 --most-epochs 1 --precision float32"
        f" --data {tmp_path / 'few.pt'} --json {tmp_path / 'standin.json'}"
    )
    assert command.main(words.split()) == 0
    found = json.loads((tmp_path / "standin.json").read_text())
    assert found["finished"]
    part = found["standin"]
    grid = {
        part["grid"]["cells"][number]["rate"]: result["holdout"]["mean"]
        for number, result in part["grid"]["results"].items()
        if part["grid"]["cells"][number]["column"] == "baseline"
    }
    assert part["chosen"]["rate"] == max(grid, key=grid.get)
    assert (part["chosen"]["pull_push"], part["chosen"]["statistic"]) == (0.1, "flatten")
    table = part["table"]
    assert {cell["column"] for cell in table["cells"].values()} == {"baseline(2x)", "mid+pull-push+kernel"}
    assert table["epochs"] == 1
    for result in table["results"].values():
        assert (result["steps"], result["rows_an_epoch"]) == (10, 160)
        assert 0 <= result["test"]["chosen"] <= 1


@pytest.mark.parametrize(
    ("steps", "left", "epochs"), [([0.1, 0.1], 100, 84), ([0.1, 0.3], 100, 28), ([], 100, 0), ([0.1], 0.1, 0)]
)
def test_epochs_of_a_pool(steps, left, epochs):
    measured = [{"step": step, "steps": 10.0, "scoring": 1.0} for step in steps]
    assert pool.epochs_that_fit(measured, left) == epochs


def test_the_grid_says_the_weights():
    tried = standin.candidates(standin.Weights())
    cells = [standin.Column(name, seed, weights) for name, weights in tried for seed in (1, 2)]
    best = {"baseline": 0.1, "pull-push": (0.1, "deviation"), "kernel": 0.001}
    results = {}
    for number, cell in enumerate(cells):
        own = {
            "baseline": cell.weights.rate,
            "pull-push": (cell.weights.pull_push, cell.weights.statistic),
            "kernel": cell.weights.kernel,
        }[cell.name]
        results[number] = {
            "holdout": {"mean": 0.6 if own == best[cell.name] else 0.5 + 0.05 * (cell.seed == 1)}
        }
    found = standin.chosen(cells, results, standin.Weights())
    assert found == standin.Weights(rate=0.1, pull_push=0.1, statistic="deviation", kernel=0.001)
    assert standin.chosen(cells, {}, standin.Weights()) == standin.Weights()
