"""Batch normalisation by the rows of all processes, here threads that wait for each other's sums."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn

from studygroup._engine import ranks, whole_norms
from studygroup._engine.ranks import Place


class Processes:
    """Threads in place of processes: each has a rank, and sums are over all of them."""

    def __init__(self, count: int, patch: pytest.MonkeyPatch) -> None:
        self.count, self.own = count, threading.local()
        self.barrier = threading.Barrier(count, timeout=10)
        self.given: dict[int, torch.Tensor] = {}
        for module in (ranks, whole_norms):
            patch.setattr(module, "place", lambda: Place(self.own.rank, count))
        patch.setattr(dist, "all_reduce", self.all_reduce)

    def all_reduce(self, values: torch.Tensor, op: dist.ReduceOp = dist.ReduceOp.SUM) -> None:
        assert op == dist.ReduceOp.SUM
        self.given[self.own.rank] = values.clone()
        self.barrier.wait()
        values.copy_(sum(self.given[rank] for rank in range(self.count)))
        self.barrier.wait()

    def run(self, work: Callable[[int], Any]) -> list[Any]:
        def one(rank: int) -> Any:
            self.own.rank = rank
            try:
                with whole_norms.whole_norms():
                    return work(rank)
            except BaseException:
                self.barrier.abort()
                raise

        with ThreadPoolExecutor(self.count) as pool:
            return list(pool.map(one, range(self.count)))


def norm_of(x: torch.Tensor, **options) -> nn.Module:
    kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}[x.ndim]
    norm = kind(x.shape[1], eps=1e-2, **options).to(x.dtype)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in norm.parameters():
            value.copy_(torch.rand(value.shape, generator=draw) + 0.5)
    return norm


def learnt(norm: nn.Module, x: torch.Tensor, factor: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The answers, and the gradients of the input and of the norm's parameters."""
    x = x.clone().requires_grad_()
    y = norm(x)
    (y * factor).sum().backward()
    return y.detach(), x.grad, *(p.grad for p in norm.parameters())


@pytest.mark.parametrize(
    "options", [{}, {"momentum": 0.3}, {"affine": False}, {"track_running_stats": False}]
)
@pytest.mark.parametrize("shape", [(9, 3), (9, 3, 4), (9, 3, 4, 2)])
@pytest.mark.parametrize("counts", [[4, 5], [6, 0, 3], [8, 1]])
def test_parts_are_normalised_as_the_whole(monkeypatch, options, shape, counts):
    """Answers, all gradients and the running statistics, where a process has no row too."""
    draw = torch.Generator().manual_seed(0)
    x, factor = (torch.randn(shape, generator=draw, dtype=torch.float64) * 3 + 1 for _ in range(2))
    whole = norm_of(x, **options)
    y, grad, *of_parameters = learnt(whole, x, factor)
    parts, factors = x.split(counts), factor.split(counts)
    norms = [norm_of(x, **options) for _ in counts]
    found = Processes(len(counts), monkeypatch).run(lambda r: learnt(norms[r], parts[r], factors[r]))
    torch.testing.assert_close(torch.cat([one[0] for one in found]), y)
    torch.testing.assert_close(torch.cat([one[1] for one in found]), grad)
    for number, expected in enumerate(of_parameters):
        torch.testing.assert_close(sum(one[2 + number] for one in found), expected)
    for norm in norms:
        for key, expected in whole.state_dict().items():
            torch.testing.assert_close(norm.state_dict()[key], expected)


def test_evaluation_is_by_the_running_statistics(monkeypatch):
    x = torch.randn(6, 3) * 3 + 1
    norms = [norm_of(x) for _ in range(3)]
    for norm in norms:
        norm(x)
        norm.eval()
    found = Processes(2, monkeypatch).run(lambda r: norms[r](x))
    for one in found:
        assert torch.equal(one, norms[2](x))
    assert torch.equal(norms[0].running_mean, norms[2].running_mean)


def test_one_row_in_all_is_its_own_mean_and_none_moves_nothing(monkeypatch):
    x = torch.tensor([[2.0, -4.0]])
    norms = [norm_of(x) for _ in range(2)]
    processes = Processes(2, monkeypatch)
    first, second = processes.run(lambda r: norms[r](x[: 1 - r]).detach())
    torch.testing.assert_close(first[0], norms[0].bias.detach())
    assert second.shape == (0, 2)
    for norm in norms:
        torch.testing.assert_close(norm.running_mean, torch.tensor([0.2, -0.4]))
        torch.testing.assert_close(norm.running_var, torch.tensor([0.9, 0.9]))
    processes.run(lambda r: norms[r](x[:0]))
    torch.testing.assert_close(norms[0].running_mean, torch.tensor([0.2, -0.4]))
    torch.testing.assert_close(norms[0].running_var, torch.tensor([0.9, 0.9]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_single(monkeypatch, dtype):
    """A thousand rows near 8: sums in half precision would be off by whole numbers."""
    draw = torch.Generator().manual_seed(0)
    x = (torch.randn(1000, 2, generator=draw) + 8).to(dtype)
    parts, norms = x.split(500), [norm_of(x.float()) for _ in range(2)]
    found = torch.cat(Processes(2, monkeypatch).run(lambda r: norms[r](parts[r]).detach()))
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), norm_of(x.float())(x.float()).detach(), atol=0.05, rtol=0.01)
    torch.testing.assert_close(norms[0].running_mean, x.float().mean(0) / 10)


def test_all_make_the_same_passes_only_where_norms_are_whole(monkeypatch):
    whole_norms.check_passes_of_all(False)
    assert not whole_norms.norms_are_whole()

    def look(rank: int) -> bool:
        whole_norms.check_passes_of_all(True)
        with pytest.raises(ValueError, match=r"build the task with peers='joint', or 'eval'$"):
            whole_norms.check_passes_of_all(False)
        return whole_norms.norms_are_whole()

    assert Processes(2, monkeypatch).run(look) == [True, True]
    assert Processes(1, monkeypatch).run(lambda rank: whole_norms.norms_are_whole()) == [False]
    assert not whole_norms.norms_are_whole()
