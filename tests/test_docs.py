"""The documentation's code runs as it stands: the Python of every page, after the lines that are printed once."""

from typing import Any

import pytest
import torch

import studygroup as sg
from helpers.pages import PRELUDE, blocks, pages, prelude
from studygroup.training import Settings, train

EXTENDING = "docs/extending.md"
BY_ITSELF = {EXTENDING, "docs/compile.md"}  # pages whose own test asks for more
NEEDS_A_RUN = {"docs/analyses.md"}
PAGES = [page for page in pages() if blocks(page) and page not in BY_ITSELF]


def check_step(task: sg.CollaborativeLearning, losses: sg.Losses) -> None:
    """A step's loss is a number, and its gradients reach all that learns and are numbers."""
    assert losses.total.isfinite()
    assert all(value.isfinite().all() for value in losses.values.values())
    learning = {name: p for name, p in task.named_parameters() if p.requires_grad}
    if all(p.grad is None for p in learning.values()):
        losses.total.backward()
    assert learning
    lost = [name for name, p in learning.items() if p.grad is None or not p.grad.isfinite().all()]
    assert not lost


def check_new_task(page: dict[str, Any]) -> None:
    """A task that a block built and did not call learns from the prelude's rows."""
    task, x, y = page["task"], page["x"], page["y"]
    owner = page["owner"] if isinstance(task.rows, sg.Subsets) else None
    if task.in_turn:  # has no other step
        assert [losses.total.isfinite().item() for losses in task.steps(x, y)] == [True] * task.turns
    else:
        check_step(task, task(x, y, owner=owner, progress=0.5))


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_the_python_of_a_page_runs(name, tmp_path, monkeypatch, unchecked):
    monkeypatch.chdir(tmp_path)
    if name in NEEDS_A_RUN:  # the run that the page's first command trains, for one epoch
        small = Settings(recipe=sg.recipes.cgl, epochs=1, train_rows=64, test_rows=60, baseline=False)
        train(small, run_dir="runs/cgl", progress_bar=False)
    torch.manual_seed(0)
    page: dict[str, Any] = {"__name__": "page"}
    before = [] if name == PRELUDE else prelude()
    for code in before:
        exec(compile(code, PRELUDE, "exec"), page)
    for number, code in enumerate(blocks(name)):
        task, losses = page.get("task"), page.get("losses")
        exec(compile(code, f"{name}, block {number}", "exec"), page)
        if page.get("task") is not task:
            new = page.get("losses")
            check_new_task(page) if new is losses or page["task"].in_turn else check_step(page["task"], new)


def test_no_snippet_is_lost():
    cards = [page for page in pages() if page.startswith("docs/methods/")]
    assert len(cards) == len(sg.recipes.__all__) + 1
    assert all(blocks(page) for page in cards)
    assert sum(len(blocks(page)) for page in pages()) >= 34


def test_every_example_of_extending_runs_and_teaches_the_students_something():
    torch.manual_seed(0)
    page: dict[str, Any] = {"__name__": "extending"}
    values: dict[str, float] = {}
    for block in blocks(EXTENDING):
        page.pop("losses", None)
        exec(compile(block, EXTENDING, "exec"), page)
        if "losses" in page:
            page["losses"].total.backward()
            values |= {
                name: float(value.detach().abs().sum()) for name, value in page["losses"].values.items()
            }
    assert all(0 < value < 100 for name, value in values.items() if name != "Self"), values
    assert values.keys() == {
        "supervised", "Neighbour", "Surest", "Median", "Self", "doubt", "alike", "different", "layer_labels",
        "imitation",
    }  # fmt: skip
    group, x = page["group"], page["x"]
    assert all(p.grad.abs().sum() > 0 for p in group.parameters())
    torch.testing.assert_close(page["net"](x), group(x).logits.mean(0))
    assert page["task"].objectives[2].weight(0.0) == 0.2
    assert isinstance(page["task"], sg.CollaborativeLearning)
