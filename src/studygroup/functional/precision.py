"""Losses are computed in single precision at least: under autocast, outputs come in half."""

import torch
from torch import Tensor


def single(value: Tensor) -> Tensor:
    """Return a tensor in single precision if it is in half, else as it is."""
    return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
