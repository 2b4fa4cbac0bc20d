"""Losses are computed in single precision at least: under autocast, outputs are in half precision."""

import torch
from torch import Tensor


def single(value: Tensor) -> Tensor:
    """Return a half-precision tensor in single precision, any other as it is."""
    return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
