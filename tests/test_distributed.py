"""Two processes under DistributedDataParallel, where some modules have no rows in a step."""

from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from torch.testing._internal.distributed.fake_pg import FakeStore

from helpers.two_ranks import OWNERS, absent, rows, task, work
from studygroup._engine.ranks import place
from studygroup.training import Settings
from studygroup.training.processes import together


@pytest.mark.slow
def test_gradients_are_the_mean_over_ranks_and_draws_are_equal(tmp_path: Path):
    mp.spawn(work, (str(tmp_path),), nprocs=2)
    saved = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    expected: dict[str, torch.Tensor] = {}
    for rank in range(2):
        alone = task()
        for _ in range(3):
            alone.zero_grad()
            alone(*rows(rank), owner=OWNERS[rank]).total.backward()
        for name, p in alone.named_parameters():
            expected[name] = expected.get(name, 0) + (torch.zeros_like(p) if p.grad is None else p.grad / 2)
    for gradients, _ in saved:
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, expected[name])
    assert all(torch.equal(a, b) for a, b in zip(saved[0][1], saved[1][1], strict=True))


@pytest.mark.slow
def test_a_student_without_rows_on_any_rank_stays_where_unused_parameters_are_looked_for(tmp_path: Path):
    """Where they are not, its gradient is zero on every rank: momentum and decay move it, equally on both."""
    mp.spawn(absent, (str(tmp_path),), nprocs=2)
    saved = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    assert saved[0] == saved[1]
    assert saved[0][True][2] == 0
    assert all(saved[0][finds][student] > 0 for finds in (False, True) for student in (0, 1))
    assert saved[0][False][2] > 0


def test_processes_that_train_something_else_do_not_count():
    """As where each of several processes makes a run of its own."""
    torch.distributed.init_process_group("fake", store=FakeStore(), rank=1, world_size=2)
    try:
        assert place() == (1, 2)
        with together(Settings(devices=2)):
            assert place() == (1, 2)
        with together(Settings()):
            assert place() == (0, 1)
    finally:
        torch.distributed.destroy_process_group()
    assert place() == (0, 1)
