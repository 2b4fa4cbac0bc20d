"""Two processes under DistributedDataParallel, where some modules have no rows in a step."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

import studygroup as sg

OWNERS = ([0, 0, 0, 0], [1, 1, 2, 2])  # of the rows on each rank: whole modules idle on either


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(inplace=True), nn.Linear(8, 3))


def task() -> sg.CollaborativeLearning:
    torch.manual_seed(0)
    group = sg.StudyGroup(build(), sg.routes.tree({"0": [0, 1, 2], "2": [0, 0, 1]}), init=build)
    return sg.CollaborativeLearning(group, listen=sg.listen.RandomSubgroup(0.5), reduction="sum")


def rows(rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(rank)
    return torch.randn(4, 6, generator=draw), torch.randint(3, (4,), generator=draw)


def work(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    parallel = nn.parallel.DistributedDataParallel(task())
    consults = []
    for _ in range(3):  # a parameter that had left the graph would stop the second step
        parallel.zero_grad()
        consults.append(parallel.module.listen.consults(parallel.module.step))
        parallel(*rows(rank), owner=OWNERS[rank]).total.backward()
    gradients = {name: p.grad for name, p in parallel.module.named_parameters()}
    torch.save((gradients, consults), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


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
