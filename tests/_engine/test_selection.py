import random

import pytest
import torch

from studygroup._engine.selection import Selection, to_device


@pytest.mark.parametrize("seed", range(30))
def test_a_selection_is_what_indexing_gives(seed):
    draw = random.Random(seed)
    sizes = [draw.randint(1, 90) for _ in range(draw.randint(1, 4))]
    total = sum(sizes)
    wanted = []
    for _ in range(draw.randint(1, 4)):
        runs = [sorted(draw.sample(range(total + 1), 2)) for _ in range(draw.choice([1, 2, 80]))]
        wanted.append(torch.cat([torch.arange(a, b) for a, b in runs]))
    tensors = [torch.randn(size, 3, requires_grad=True) for size in sizes]
    taken = Selection(wanted, sizes)(tensors)
    whole = torch.cat([t.detach() for t in tensors]).requires_grad_()
    for got, index in zip(taken, wanted, strict=True):
        assert torch.equal(got, whole[index])
    factors = [torch.randn_like(got) for got in taken]
    sum((got * f).sum() for got, f in zip(taken, factors, strict=True)).backward()
    sum((whole[i] * f).sum() for i, f in zip(wanted, factors, strict=True)).backward()
    gradients = [torch.zeros_like(t) if t.grad is None else t.grad for t in tensors]
    torch.testing.assert_close(torch.cat(gradients), whole.grad)


def test_a_table_moves_to_any_device_and_one_that_is_there_stays():
    table = torch.arange(3)
    assert to_device(table, torch.device("cpu")) is table
    moved = to_device(table, torch.device("meta"))
    assert moved.is_meta
    assert moved.shape == (3,)
