"""Losses are computed in single precision at least: under autocast, outputs are in half precision."""

import torch
from torch import Tensor, nn


def single(value: Tensor) -> Tensor:
    """Return a half-precision tensor in single precision, any other as it is."""
    return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value


def as_weights(value: Tensor, layer: nn.Module) -> Tensor:
    """Return a tensor in the precision of a layer's weights, unless autocast sees to it; whole numbers stay."""
    first = next(layer.parameters(), None)
    sees_to_it = torch.is_autocast_enabled(value.device.type) or not value.is_floating_point()
    return value if first is None or sees_to_it else value.to(first.dtype)
