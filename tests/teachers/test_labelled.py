"""Teachers that know the labels, without a task; their losses are in tests/recipes/test_kdcl.py."""

import pytest
import torch

from helpers.teachers import joined, outputs
from studygroup.outputs import Outputs
from studygroup.teachers import BestStudent, GeneralTeacher, LinearTeacher, MinLogit


@pytest.mark.parametrize("rule", [BestStudent, MinLogit, LinearTeacher, GeneralTeacher])
@pytest.mark.parametrize("y", [torch.zeros(2, 3), torch.zeros(2), torch.zeros(2, 3, dtype=torch.long)])
def test_labels_that_are_no_class_indices_are_refused(rule, y, unchecked):
    with pytest.raises(ValueError, match="teachers that know labels need one class index a row"):
        joined(rule(), 3).logits(outputs(3), y)


@pytest.mark.parametrize("rule", [BestStudent, MinLogit, LinearTeacher, GeneralTeacher])
def test_labels_of_small_integers_are_class_indices(rule):
    z = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(0))
    found = Outputs(z, torch.ones(3, 2, dtype=torch.bool))
    small, usual = (
        joined(rule(), 3).logits(found, torch.tensor([3, 1], dtype=kind))
        for kind in (torch.uint8, torch.int64)
    )
    assert torch.equal(small, usual)


def test_the_errors_of_a_teacher_in_half_precision_are_averaged_in_single():
    """A share of 1/1000 of what is new is less than half precision can add."""
    rule = joined(GeneralTeacher(decay=0.999), 3)
    rule.products.copy_(0.3 * torch.eye(3))
    for low in (torch.bfloat16, torch.float16):
        rule.to(low)
        assert rule.products.dtype == torch.float32
        assert torch.equal(rule.products, 0.3 * torch.eye(3))
    assert joined(GeneralTeacher().to(torch.bfloat16), 3).products.dtype == torch.float32
    double = joined(GeneralTeacher(), 3).double()
    assert double.products.dtype == torch.float64
    for dtype in (torch.float32, torch.float64):
        answers = Outputs(torch.zeros(3, 2, 4, dtype=dtype), torch.ones(3, 2, dtype=torch.bool))
        weights = rule.weights(answers, torch.ones(3, 3, dtype=torch.bool))
        torch.testing.assert_close(weights, torch.full((3, 3), 1 / 3, dtype=dtype), atol=1e-6, rtol=0)


def test_at_a_decay_of_one_nothing_would_be_measured():
    with pytest.raises(ValueError, match="decay is 1"):
        GeneralTeacher(decay=1)
    assert GeneralTeacher(decay=0).decay == 0
