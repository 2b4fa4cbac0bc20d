import math

import pytest
import torch

from helpers.teachers import joined, outputs
from studygroup.outputs import Outputs
from studygroup.teachers import Gate, PeerAttention, pooled


def test_features_are_pooled_over_space_or_tokens():
    maps, tokens = torch.randn(2, 3, 4, 5), torch.randn(2, 6, 3)
    torch.testing.assert_close(pooled(maps), maps.mean((2, 3)))
    torch.testing.assert_close(pooled(tokens), tokens.mean(1))
    assert pooled(maps[..., 0, 0]) is not None


def test_rules_that_learn_say_what_they_need():
    with pytest.raises(ValueError, match="a gate over 3 branches cannot serve 4 students"):
        joined(Gate(5, students=3), 4)
    with pytest.raises(ValueError, match="leader 3 of 3 students"):
        joined(PeerAttention(5, leader=3), 3)
    with pytest.raises(ValueError, match=r"no trunk; call the group with capture=Capture\(trunk=True\)"):
        joined(Gate(5, students=3), 3).weights(outputs(3), torch.ones(3, 3, dtype=torch.bool))


def test_the_entropy_of_attention_that_knows_nothing_is_the_largest():
    rule = joined(PeerAttention(8, leader=0), 4)
    rule.query.weight.data.zero_()
    found = Outputs(torch.zeros(4, 2, 3), torch.ones(4, 2, dtype=torch.bool), features=torch.randn(4, 2, 8))
    assert rule.entropy is None
    rule.weights(found, rule.consults(0))
    assert rule.entropy.item() == pytest.approx(math.log(3))
    assert not rule.entropy.requires_grad
    assert list(rule.state_dict()) == ["query.weight", "key.weight"]
