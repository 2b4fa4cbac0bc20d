"""Against plain loops in float64, written from the papers' equations."""

import math

import pytest
import torch

from studygroup import functional as sgf

K, N, C = 3, 5, 7


def psi(z, temperature):
    """softmax(z / T) of a list."""
    powers = [math.exp(value / temperature) for value in z]
    return [power / sum(powers) for power in powers]


@pytest.fixture
def logits():
    return torch.randn(K, N, C, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def weights():
    draw = torch.rand(N, K, K, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    draw[2, 1] = 0  # on row 2 student 1 listens to nobody
    return draw


def target_by_loop(z, w, temperature, aggregate):
    """z: (teachers, C) of one row, w: weights of one student."""
    if not any(w):
        return [0.0] * C
    if aggregate == "logits":
        return psi([sum(w[j] * z[j][c] for j in range(len(z))) for c in range(C)], temperature)
    soft = [psi(z[j], temperature) for j in range(len(z))]
    return [sum(w[j] * soft[j][c] for j in range(len(z))) for c in range(C)]


@pytest.mark.parametrize("aggregate", ["logits", "probabilities"])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("per_row", [False, True])
@pytest.mark.parametrize("teachers", [1, 2, K])
def test_peer_targets(logits, weights, temperature, aggregate, per_row, teachers):
    """Those who are listened to may be others, and fewer, than those who listen."""
    logits, weights = logits[:teachers], weights[..., :teachers]
    matrix = weights if per_row else weights[2]
    targets = sgf.peer_targets(logits, matrix, temperature, aggregate)
    for n in range(N):
        for k in range(K):
            row = matrix[n, k] if per_row else matrix[k]
            expected = target_by_loop(logits[:, n].tolist(), row.tolist(), temperature, aggregate)
            assert targets[k, n].tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("divergence", ["kl", "cross_entropy"])
@pytest.mark.parametrize("scale", [False, True])
def test_imitation_loss(logits, divergence, scale):
    targets = torch.softmax(logits.roll(1, 0), -1)
    targets[1, 2] = 0
    targets[0, 0] = torch.eye(C, dtype=torch.float64)[3]  # 0 log 0 is 0
    loss = sgf.imitation_loss(logits, targets, 3.0, divergence, scale)
    for k in range(K):
        for n in range(N):
            q, p = targets[k, n].tolist(), psi(logits[k, n].tolist(), 3.0)
            expected = -sum(q[c] * math.log(p[c]) for c in range(C))
            if divergence == "kl":
                expected += sum(q[c] * math.log(q[c]) for c in range(C) if q[c] > 0)
            assert loss[k, n].item() == pytest.approx(expected * (9 if scale else 1), abs=1e-12)


def test_the_gradient_of_imitation(logits):
    """d KL(q || ψ(z; T)) / dz_c = (ψ_c - q_c) / T, and T times as much with T²."""
    targets = torch.softmax(logits.roll(1, 0), -1)
    for scale in (False, True):
        z = logits.clone().requires_grad_()
        sgf.imitation_loss(z, targets, 3.0, "kl", scale).sum().backward()
        for k in range(K):
            for n in range(N):
                p = psi(logits[k, n].tolist(), 3.0)
                expected = [(p[c] - targets[k, n, c].item()) / 3 * (9 if scale else 1) for c in range(C)]
                assert z.grad[k, n].tolist() == pytest.approx(expected, abs=1e-12)


def test_nobody_to_imitate_is_no_loss_and_no_gradient(logits):
    z = logits.clone().requires_grad_()
    targets = sgf.peer_targets(z, torch.zeros(K, K, dtype=torch.float64), 3.0)
    loss = sgf.imitation_loss(z, targets, 3.0)
    loss.sum().backward()
    assert not loss.any()
    assert not z.grad.any()


@pytest.mark.parametrize("divergence", ["kl", "cross_entropy"])
@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("per_row", [False, True])
@pytest.mark.parametrize("teachers", [2, K])
def test_pairwise_loss(logits, weights, divergence, scale, per_row, teachers):
    """Σ_j w_kj D(p_j || p_k), pair by pair, and the gradient of averaged probabilities."""
    heard, weights = logits[:teachers], weights[..., :teachers]
    matrix = weights if per_row else weights[2]
    z = logits.clone().requires_grad_()
    loss = sgf.pairwise_loss(z, heard, matrix, 3.0, divergence, scale)
    for k in range(K):
        for n in range(N):
            row, p = (matrix[n, k] if per_row else matrix[k]).tolist(), psi(logits[k, n].tolist(), 3.0)
            expected = 0.0
            for j in range(teachers):
                q = psi(heard[j, n].tolist(), 3.0)
                own = sum(a * math.log(a) for a in q) if divergence == "kl" else 0.0
                expected += row[j] * (own - sum(a * math.log(b) for a, b in zip(q, p, strict=True)))
            assert loss[k, n].item() == pytest.approx(expected * (9 if scale else 1), abs=1e-12)
    loss.sum().backward()
    other = logits.clone().requires_grad_()
    targets = sgf.peer_targets(heard, matrix, 3.0, "probabilities")
    sgf.imitation_loss(other, targets, 3.0, "cross_entropy", scale).sum().backward()
    torch.testing.assert_close(z.grad, other.grad)


def test_pairs_that_are_not_constant_get_their_gradient(logits):
    """A peer is pulled to the student too: against the sum over pairs, differentiated by autograd."""
    matrix = torch.full((K, K), 0.5, dtype=torch.float64).fill_diagonal_(0)
    gradients = []
    for pairs in (False, True):
        z = logits.clone().requires_grad_()
        if pairs:
            p = torch.log_softmax(z / 2.0, -1)
            loss = sum(0.5 * (p[j].exp() * (p[j] - p[k])).sum() for k in range(K) for j in range(K) if j != k)
        else:
            loss = sgf.pairwise_loss(z, z, matrix, 2.0).sum()
        loss.backward()
        gradients.append(z.grad)
    torch.testing.assert_close(*gradients)


def test_diversity_and_disagreement(logits):
    probabilities = torch.softmax(logits, -1)
    sees = torch.rand(K, N, generator=torch.Generator().manual_seed(4)) < 0.6
    distances, masked, differ = [], [], []
    for a in range(K):
        for b in range(a + 1, K):
            for n in range(N):
                p, q = probabilities[a, n].tolist(), probabilities[b, n].tolist()
                distance = math.sqrt(sum((p[c] - q[c]) ** 2 for c in range(C)))
                distances.append(distance)
                differ.append(p.index(max(p)) != q.index(max(q)))
                if sees[a, n] and sees[b, n]:
                    masked.append(distance)
    assert sgf.diversity(probabilities).item() == pytest.approx(sum(distances) / len(distances))
    assert sgf.diversity(probabilities, sees).item() == pytest.approx(sum(masked) / len(masked))
    assert sgf.disagreement(logits).item() == pytest.approx(sum(differ) / len(differ))
    assert sgf.diversity(probabilities[:1]).item() == 0
    assert sgf.disagreement(logits[:1]).item() == 0


def test_masked_mean_of_nothing_is_zero_and_blind_to_what_is_not_seen(logits):
    values = logits[..., 0].clone()
    sees = torch.tensor([[True, False, True, True, False], [False] * 5, [True] * 5])
    values[0, 1] = float("nan")
    means = sgf.masked_mean(values, sees)
    assert means[0].item() == pytest.approx(values[0, [0, 2, 3]].mean().item())
    assert means[1].item() == 0
    assert means[2].item() == pytest.approx(values[2].mean().item())


@pytest.mark.parametrize("places", [(), (2,), (2, 3)])
@pytest.mark.parametrize("kind", [None, "weights", "table"])
def test_a_mean_over_rows_and_places_divides_by_what_counts(places, kind):
    """Σ of a student's values over Σ of counts, place by place; a table of bools leaves values out."""
    drawn = torch.Generator().manual_seed(5)
    values = torch.randn(K, N, *places, dtype=torch.float64, generator=drawn)
    sees = torch.tensor([[True, False, True, True, False], [False] * 5, [True] * 5])
    counts = torch.rand(N, *places, dtype=torch.float64, generator=drawn)
    counts = {None: None, "weights": 3 * counts, "table": counts < 0.6}[kind]
    means = sgf.masked_mean(values, sees, counts)
    for k in range(K):
        total, divisor = 0.0, 0.0
        for n in range(N):
            each = values[k, n].flatten().tolist()
            weighs = [1.0] * len(each) if counts is None else counts[n].flatten().double().tolist()
            if sees[k, n]:
                total += sum(v for v, w in zip(each, weighs, strict=True) if w or kind == "weights")
                divisor += sum(weighs)
        assert means[k].item() == pytest.approx(total / divisor if divisor else 0, abs=1e-12)
    nothing = torch.zeros(N, *places, dtype=torch.bool)
    assert sgf.masked_mean(values, sees, nothing).tolist() == [0] * K


def test_label_loss(logits):
    y = torch.tensor([0, 3, 6, 2, 2])
    soft = torch.softmax(logits[0].flip(0), -1)
    hard, mixed = sgf.label_loss(logits, y), sgf.label_loss(logits, soft)
    for k in range(K):
        for n in range(N):
            p = psi(logits[k, n].tolist(), 1.0)
            assert hard[k, n].item() == pytest.approx(-math.log(p[y[n]]), abs=1e-12)
            expected = -sum(a * math.log(b) for a, b in zip(soft[n].tolist(), p, strict=True))
            assert mixed[k, n].item() == pytest.approx(expected, abs=1e-12)


def test_wrong_settings_say_what_is_right(logits, unchecked):
    with pytest.raises(ValueError, match="temperature is 0; give a finite number above 0"):
        sgf.peer_targets(logits, torch.eye(K, dtype=torch.float64), 0)
    for wrong in (0, -1.0, float("nan")):
        with pytest.raises(ValueError, match=f"temperature is {wrong}; give a finite number above 0"):
            sgf.imitation_loss(logits, logits, wrong)
    with pytest.raises(ValueError, match="'logits' or 'probabilities'"):
        sgf.peer_targets(logits, torch.eye(K, dtype=torch.float64), 1.0, "mean")
    with pytest.raises(ValueError, match="'kl' or 'cross_entropy'"):
        sgf.imitation_loss(logits, logits, 1.0, "l2")
