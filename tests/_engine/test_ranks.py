"""What processes know of each other; without starting any, by torch's own stand-in for a group of them."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.testing._internal.distributed.fake_pg import FakeStore

from studygroup._engine.ranks import (
    alone,
    every_parameter_needs_a_gradient,
    exchanging,
    of_this_process,
    over_ranks,
    place,
    several,
)


@contextmanager
def processes(rank: int, ranks: int) -> Iterator[None]:
    dist.init_process_group("fake", store=FakeStore(), rank=rank, world_size=ranks)
    try:
        yield
    finally:
        dist.destroy_process_group()


def test_one_process_alone():
    x = torch.arange(3.0)
    assert place() == (0, 1)
    assert not several()
    assert not exchanging()
    assert not every_parameter_needs_a_gradient()
    assert of_this_process() == ()
    assert over_ranks(x) is x
    with processes(0, 1):
        assert not several()
        assert not every_parameter_needs_a_gradient()


@pytest.mark.parametrize("rank", [0, 1])
def test_one_of_two_processes(rank):
    with processes(rank, 2):
        assert place() == (rank, 2)
        assert several()
        assert not exchanging()
        assert of_this_process() == (("rank 1",) if rank else ())
        assert every_parameter_needs_a_gradient()
        with alone():
            assert place() == (0, 1)
            assert not several()
            assert of_this_process() == ()
        assert place() == (rank, 2)


def test_a_sum_over_processes_leaves_the_numbers_as_they_are(monkeypatch):
    asked = []

    def reduced(values: torch.Tensor, op: dist.ReduceOp = dist.ReduceOp.SUM) -> None:
        asked.append(op)
        values.mul_(3)  # as if the other process held twice as much

    monkeypatch.setattr(dist, "all_reduce", reduced)
    x = torch.tensor([2.0, 4.0])
    with processes(0, 2):
        assert over_ranks(x).tolist() == [3, 6]
        assert over_ranks(x, "sum").tolist() == [6, 12]
        assert over_ranks(x, "max").tolist() == [6, 12]
    assert x.tolist() == [2, 4]
    assert asked == [dist.ReduceOp.SUM, dist.ReduceOp.SUM, dist.ReduceOp.MAX]


@pytest.mark.parametrize("finds", [False, True])
def test_in_a_pass_of_several_processes_unused_parameters_get_a_gradient_unless_they_are_looked_for(finds):
    found = []

    class Asks(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found.append((exchanging(), every_parameter_needs_a_gradient()))
            return super().forward(x)

    with processes(0, 2):
        DistributedDataParallel(Asks(2, 2), find_unused_parameters=finds)(torch.randn(3, 2))
    assert found == [(True, not finds)]
