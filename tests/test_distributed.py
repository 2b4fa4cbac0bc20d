"""Two processes under DistributedDataParallel, where some modules have no rows in a step."""

from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp

from helpers.two_ranks import OWNERS, rows, task, work


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
            expected[name] = expected.get(name, 0) + p.grad / 2
    for gradients, _ in saved:
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, expected[name])
    assert all(torch.equal(a, b) for a, b in zip(saved[0][1], saved[1][1], strict=True))
