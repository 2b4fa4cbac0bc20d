"""Every method is what it was when the snapshot was written."""

import copy
import math
import sys

import pytest

import snapshot
from helpers import snapshot_tasks
from recipes.test_matrix import NETWORKS, RECIPES

KNOWN = snapshot.load()
ALSO = (
    "cgl, gradient to peers",
    "cgl, as printed",
    "dml, in turn",
    "kdcl of peers, general",
    "intra, mid and pull_push",
)
FAST = [f"{name} / mlp" for name in (*snapshot_tasks.RECIPES, *ALSO) if "linear" not in name]


def assert_nothing_changed(report: snapshot.Report) -> None:
    """Within the tolerance, or on another processor, where sums are rounded otherwise, nearly so."""
    same = KNOWN["environment"] == snapshot.environment()
    allowed = {"float64": 0 if same else 1e-6, "float32": 0 if same else 1e-3}
    differ = [
        (d, name) for d, name in report.differ if d > allowed["float32" if "float32" in name else "float64"]
    ]
    assert not differ, str(report)


@pytest.mark.parametrize("name", FAST)
def test_one_small_network(name):
    report = snapshot.check(names=[name])
    assert report.equal + len(report.near) > 20
    assert_nothing_changed(report)


@pytest.mark.long
def test_all_networks():
    assert_nothing_changed(snapshot.check())


def test_the_snapshot_is_of_every_recipe_on_every_network():
    assert set(RECIPES) == set(snapshot_tasks.RECIPES)
    assert set(NETWORKS) == set(snapshot_tasks.NETWORKS)
    assert set(KNOWN["tasks"]) == set(snapshot_tasks.entries())


def of(old: dict, new: dict) -> snapshot.Report:
    report = snapshot.Report()
    snapshot.compare(old, new, "it", report)
    return report


def test_every_change_is_found_and_named():
    old = KNOWN["tasks"]["one / mlp"]
    assert of(old, old).differ == []

    new = copy.deepcopy(old)
    new["updates"][1]["auxiliary"]["ensemble"] *= 1 + 1e-11
    new["updates"][0]["group"][2][0] += 1e-11 * new["updates"][0]["group"][2][1]
    new["updates"][2]["learning"][1] += 1
    new["students"][1][0] += 1e-11 * new["students"][1][1]
    assert [name for _, name in of(old, new).differ] == [
        "it / shipped / student 1",
        "it / update 0 / gradient 2, 16x16",
        "it / update 1 / ensemble",
        "it / update 2 / how many gradients beside it",
    ]

    new = copy.deepcopy(old)
    new["updates"][0]["group"][2] = None
    new["updates"][1]["imitation"].pop()
    new["keys"][0] += "x"
    found = of(old, new).differ
    assert [deviation for deviation, _ in found] == [math.inf] * 3
    assert str(of(old, new)).endswith("3 differ")


def test_rounding_is_near_and_none_at_all_equal():
    old = KNOWN["tasks"]["one / mlp"]
    new = copy.deepcopy(old)
    new["updates"][2]["total"] *= 1 + 3e-14
    report = of(old, new)
    assert len(report.near) == 1
    assert (
        str(report).splitlines()[-1] == f"{report.equal:,} values equal bit for bit, 1 within 1e-13, 0 differ"
    )


def test_the_command_says_what_differs_and_fails(tmp_path, monkeypatch, capsys):
    task = "baseline / mlp"
    made = snapshot.entries()[task]
    monkeypatch.setattr(snapshot, "entries", lambda: {task: made})

    def run(what: str) -> int:
        monkeypatch.setattr(sys, "argv", ["snapshot.py", what, str(tmp_path / "losses.json.gz")])
        try:
            snapshot.main()
        except SystemExit as end:
            return int(end.code)
        return 0

    assert run("write") == 0
    assert run("check") == 0
    assert capsys.readouterr().out.endswith(" values equal bit for bit, 0 within 1e-12, 0 differ\n")
    monkeypatch.setattr(snapshot, "entries", lambda: {"other": made})
    assert run("check") == 1
    assert "differs by inf: baseline / mlp\ndiffers by inf: other" in capsys.readouterr().out
