"""Students who are updated one after another, in a whole run."""

import functools

import pytest
import torch

from helpers.small_run import small
from studygroup.training import Settings, methods, train
from studygroup.training.checkpoints import saved
from studygroup.training.history import read_history


def settings(**changes) -> Settings:
    return small(recipe=functools.partial(methods.dml, students=2, in_turn=True), epochs=2, **changes)


@pytest.mark.slow
def test_a_run_is_the_loop_over_steps(tmp_path):
    plain = functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9)
    chosen = settings(optimizer=plain, progress="step", gradient_clip_val=0.5)
    result = train(chosen, run_dir=tmp_path / "run", progress_bar=False)
    data = chosen.load_data()
    task, datamodule = chosen.build_task(data), chosen.build_datamodule(data)
    optimiser = plain(task.parameters())
    rate, updates, norms = chosen.rate.scheduler(optimiser, epochs=2, updates=8), 0, []
    for epoch in range(2):
        for batch in datamodule.training_batches(task, epoch=epoch):
            for losses in task.steps(*datamodule.training_rows(batch, step=updates)):
                optimiser.zero_grad()
                losses.total.backward()
                norms.append(torch.nn.utils.clip_grad_norm_(task.parameters(), 0.5))
                optimiser.step()
            rate.step()
            updates += 1
    assert max(norms) > 0.5  # something was clipped
    shipped = result.summary.shipped.student
    for name, value in task.group.export(shipped).state_dict().items():
        torch.testing.assert_close(result.load().state_dict()[name], value)
    rows = read_history(result.folder.metrics)
    assert [row.updates for row in rows] == [8, 16]
    assert all(min(row.supervised) > 0 and len(row.supervised) == 2 for row in rows)


@pytest.mark.slow
def test_a_run_goes_on_from_a_checkpoint(tmp_path):
    whole = train(settings(), run_dir=tmp_path / "whole", progress_bar=False)
    cut = train(settings(), run_dir=tmp_path / "cut", progress_bar=False)
    cut.folder.summary.unlink()
    saved(cut.folder.checkpoints)[0].unlink()
    again = train(settings(), run_dir=cut.folder.path, resume=True, progress_bar=True)
    assert again.folder.weights.read_bytes() == whole.folder.weights.read_bytes()
    assert [row.updates for row in read_history(again.folder.metrics)] == [8, 16]


@pytest.mark.slow
def test_its_cost_is_that_of_all_its_updates(tmp_path, monkeypatch):
    """A step of two networks in turn is two updates beside the plain network's one."""
    monkeypatch.setattr("studygroup.analysis.cost._timed", lambda step: float(len(list(step.losses()))))
    result = train(settings(baseline=True), run_dir=tmp_path / "run", progress_bar=False)
    assert (result.summary.cost.ratio, result.summary.cost.seconds) == (2.0, 2.0)
