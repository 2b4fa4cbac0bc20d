"""No step reads from a device, shown without one: on the meta device there is nothing to read, and it would raise."""

import sys
from contextlib import nullcontext

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from reproduction.gpu.methods import METHODS, owners
from reproduction.gpu.network import small
from studygroup._engine import selection

FEW = ("cgl", "intra_pull_push", "okddip")
COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)


class Arrivals(TorchDispatchMode):
    """Counts the tables that go from the host to the device."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Run the function."""
        made = func(*args, **(kwargs or {}))
        if func in COPIES:
            source = args[1] if func is COPIES[1] else args[0]
            self.count += source.device.type == "cpu" and made.device.type == "meta"
        return made


@pytest.fixture
def meta(monkeypatch):
    """Lets the meta device have autocast, switched off."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: False)
    monkeypatch.setattr(torch, "get_autocast_dtype", lambda *_: torch.float32)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in FEW else pytest.mark.slow) for name in METHODS]
)
def test_a_step_reads_nothing_and_moves_tables_by_pinned_memory(name, meta, monkeypatch):
    moved = []

    def to_device(table, device, own=selection.to_device):
        moved.append(table.device != device)
        return own(table, device)

    for module in modules_that_move():
        monkeypatch.setattr(module, "to_device", to_device)
    task = METHODS[name](small(torch.nn.Dropout)).to("meta").train()
    x, y = torch.empty(16, 3, 16, 16, device="meta"), torch.empty(16, dtype=torch.long, device="meta")
    with Arrivals() as arrivals:
        for losses in task.steps(x, y, owner=owners(task, 16), progress=0.5):
            losses.total.backward()
    assert arrivals.count == sum(moved) > 0
    assert any(parameter.grad is not None for parameter in task.parameters())


def test_what_would_wait_raises():
    with pytest.raises(RuntimeError):
        torch.empty(3, device="meta").sum().item()
    with pytest.raises((RuntimeError, NotImplementedError)):
        torch.empty(3, device="meta").nonzero()


def modules_that_move():
    """Yields the modules of the library that bring tables to a device."""
    for name, module in list(sys.modules.items()):
        if name.startswith("studygroup.") and hasattr(module, "to_device"):
            yield module
