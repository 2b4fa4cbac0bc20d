"""The same modules and parameters as torch yields, in the same order."""

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import nn

from studygroup._engine.walk import every_module, every_parameter
from studygroup.models import cifar_resnet18


class Shared(nn.Module):
    """Has one part twice, one weight in two parts, and a part that is `None`."""

    def __init__(self) -> None:
        super().__init__()
        part = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
        self.first = part
        self.bias = None
        self.missing: nn.Module | None = None
        self.add_module("absent", None)
        self.outer = nn.Sequential(nn.Linear(2, 2, bias=False), part, part[0])
        self.outer[0].weight = part[0].weight
        self.own = nn.Parameter(torch.zeros(3))


def scripted() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer versions of torch call scripts deprecated
        script: nn.Module = torch.jit.script(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    return script


@pytest.mark.parametrize("build", [Shared, lambda: cifar_resnet18(10, width=8), nn.ReLU, scripted])
def test_the_order_is_that_of_torch(build: Callable[[], nn.Module]) -> None:
    model = build()
    modules, expected = every_module(model), list(model.modules())
    assert [id(m) for m in modules] == [id(m) for m in expected]
    assert [id(p) for p in every_parameter(model)] == [id(p) for p in model.parameters()]
