import pytest
import torch
from torch import nn

from studygroup.layers import blocks, last_group
from studygroup.models import build, mlp


def test_sizes_and_layers():
    net = build("mlp", classes=10, channels=1)
    assert type(net) is nn.Sequential
    assert net(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    weights = 64 * 96 + 96 * 96 + 96 * 96 + 96 * 10
    assert sum(p.numel() for p in net.parameters()) == weights + 96 + 96 + 96 + 10
    assert mlp(3, channels=2, pixels=12, hidden=[5])(torch.zeros(4, 2, 3, 4)).shape == (4, 3)


def test_it_computes_what_its_layers_say():
    net = mlp(3, channels=1, pixels=4, hidden=[5, 6]).double()
    x = torch.randn(7, 1, 2, 2, dtype=torch.float64)
    first, second, last = [layer for layer in net if isinstance(layer, nn.Linear)]
    hidden = (x.view(7, 4) @ first.weight.T + first.bias).clamp(min=0)
    hidden = (hidden @ second.weight.T + second.bias).clamp(min=0)
    torch.testing.assert_close(net(x), hidden @ last.weight.T + last.bias)


def test_its_layers_can_be_routed():
    net = build("mlp", classes=10, channels=1)
    linear = [name for name, layer in net.named_modules() if isinstance(layer, nn.Linear)]
    assert [names if isinstance(names, str) else names[0] for names in blocks(net)] == linear[:-1]
    assert last_group(net) == (linear[-2], linear[-1])


@pytest.mark.parametrize("options", [{"channels": 0}, {"pixels": 0}, {"hidden": ()}, {"hidden": (0,)}])
def test_sizes_out_of_range(options):
    with pytest.raises(ValueError, match="give at least 1 for each"):
        mlp(10, **options)
