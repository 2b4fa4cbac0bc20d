"""What is computed in single precision, and in that of a layer's weights."""

import pytest
import torch
from torch import nn

from studygroup.functional.precision import as_weights, single


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
        (torch.int64, torch.int64),
    ],
)
def test_half_precision_alone_is_raised(dtype, expected):
    value = torch.tensor([1, 2], dtype=dtype)
    assert single(value).dtype == expected
    assert (single(value) is value) == (dtype == expected)


def test_a_layer_is_given_its_own_precision():
    layer, value = nn.Linear(2, 1).double(), torch.ones(3, 2)
    assert as_weights(value, layer).dtype == torch.float64
    assert as_weights(value.long(), layer).dtype == torch.int64  # token ids
    assert as_weights(value, nn.ReLU()) is value
    with torch.autocast("cpu", torch.bfloat16):
        assert as_weights(value, layer) is value
