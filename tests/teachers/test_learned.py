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
    assert torch.equal(pooled(maps[..., 0, 0]), maps[..., 0, 0])


def test_rules_that_learn_say_what_they_need():
    with pytest.raises(ValueError, match="a gate over 3 branches cannot serve 4 students"):
        joined(Gate(5, students=3), 4)
    with pytest.raises(ValueError, match="leader 3 of 3 students"):
        joined(PeerAttention(5, leader=3), 3)
    with pytest.raises(ValueError, match="leader 0 of 2 students"):
        joined(PeerAttention(5, leader=0), 2)
    with pytest.raises(ValueError, match=r"no trunk; call the group with capture=Capture\(trunk=True\)"):
        joined(Gate(5, students=3), 3).weights(outputs(3), torch.ones(3, 3, dtype=torch.bool))


@pytest.mark.parametrize("leader", [0, 1, 3])
@pytest.mark.parametrize("include_self", [False, True])
def test_attention_wherever_the_leader_stands(leader, include_self):
    """A_ab = softmax over the peers b of L(h_a) · E(h_b); the leader hears all peers alike; the mean entropy."""
    students, rows, width = 4, 3, 8
    torch.manual_seed(0)
    rule = joined(PeerAttention(width, leader=leader, reduction=2, include_self=include_self), students)
    h = torch.randn(students, rows, width)
    found = Outputs(torch.zeros(students, rows, 3), torch.ones(students, rows, dtype=torch.bool), features=h)
    weights = rule.weights(found, rule.consults(0))
    peers, entropy = [k for k in range(students) if k != leader], 0.0
    assert rule.query.weight.shape == (4, width)
    for n in range(rows):
        for a in range(students):
            heard = [b for b in peers if a == leader or include_self or b != a]
            query = rule.query(h[a, n]).detach()
            energy = [float(query @ rule.key(h[b, n]).detach()) if a != leader else 0.0 for b in heard]
            powers = [math.exp(e) for e in energy]
            expected = dict(zip(heard, (power / sum(powers) for power in powers), strict=True))
            assert weights[n, a].tolist() == pytest.approx(
                [expected.get(b, 0) for b in range(students)], abs=1e-6
            )
            entropy -= sum(p * math.log(p) for p in expected.values()) if a != leader else 0.0
    assert rule.entropy.item() == pytest.approx(entropy / rows / len(peers), rel=1e-5)
    assert list(rule.figures()) == ["entropy"]


def test_the_entropy_of_attention_that_knows_nothing_is_the_largest():
    rule = joined(PeerAttention(8, leader=0), 4)
    rule.query.weight.data.zero_()
    found = Outputs(torch.zeros(4, 2, 3), torch.ones(4, 2, dtype=torch.bool), features=torch.randn(4, 2, 8))
    assert rule.entropy is None
    rule.weights(found, rule.consults(0))
    assert rule.entropy.item() == pytest.approx(math.log(3))
    assert not rule.entropy.requires_grad
    assert list(rule.state_dict()) == ["query.weight", "key.weight"]


def test_attention_without_features_names_them():
    found = Outputs(torch.zeros(3, 2, 4), torch.ones(3, 2, dtype=torch.bool))
    rule = joined(PeerAttention(8, leader=0), 3)
    with pytest.raises(
        ValueError, match=r"no features; call the group with capture=Capture\(features=True\)$"
    ):
        rule.weights(found, rule.consults(0))
