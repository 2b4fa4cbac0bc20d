import dataclasses

import pytest
import torch
from torch import nn

from helpers.tiny import batches, net
from studygroup.analysis import analyses
from studygroup.analysis.similarity import linear_cka, representations, similarity


def hsic(x, y):
    """Kornblith et al. 2019, equation 3 with linear kernels: tr(K H L H), from the rows' products."""
    rows = len(x)
    first, second = ([[sum(a * b for a, b in zip(u, v, strict=True)) for v in z] for u in z] for z in (x, y))

    def centred(m):
        across = [sum(row) / rows for row in m]
        whole = sum(across) / rows
        return [[m[i][j] - across[i] - across[j] + whole for j in range(rows)] for i in range(rows)]

    first, second = centred(first), centred(second)
    return sum(first[i][j] * second[i][j] for i in range(rows) for j in range(rows))


def loop(x, y):
    x, y = x.tolist(), y.tolist()
    return hsic(x, y) / (hsic(x, x) * hsic(y, y)) ** 0.5


@pytest.mark.parametrize("width", [2, 6, 12])
def test_it_is_that_of_a_loop(width):
    draw = torch.Generator().manual_seed(width)
    x, y = (torch.randn(9, w, generator=draw, dtype=torch.float64) + 5 for w in (4, width))
    y[:, :2] += x[:, :2]
    assert linear_cka(x, y).item() == pytest.approx(loop(x, y), rel=1e-10)
    assert linear_cka(y, x).item() == pytest.approx(loop(x, y), rel=1e-10)


def test_neither_rotation_nor_scale_nor_shift_makes_a_difference():
    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64)).Q
    assert linear_cka(x, 3 * x @ rotation - 7).item() == pytest.approx(1.0)
    assert linear_cka(x, torch.randn(30, 4, dtype=torch.float64)).item() < 0.6


def test_all_rows_count_at_once_and_widths_may_differ():
    students, rows = [net(0), net(1, width=7), net(2)], batches(6, 5, 2)
    matrix, name = similarity(students, rows)
    assert name == "input of 3"
    hidden = []
    for student in students:
        student.eval()
        with torch.no_grad():
            hidden.append(torch.cat([student[:3](x) for x, _ in rows]))
    for a in range(3):
        for b in range(3):
            assert matrix[a, b].item() == pytest.approx(loop(hidden[a], hidden[b]), rel=1e-9)


class Maps(nn.Module):
    """A convolution with what follows in place, and a head."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(1, 3, 3)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(3, 2)
        self.idle = nn.Linear(1, 1)

    def forward(self, x):
        return self.fc(self.relu(self.conv(x)).mean((2, 3)))


def test_maps_are_averaged_over_space_before_what_comes_in_place():
    model, rows = Maps(0), [(torch.randn(5, 1, 6, 6), torch.zeros(5, dtype=torch.int64))]
    (found,), name = representations([model], rows, layer="conv")
    assert name == "conv"
    assert torch.allclose(found, model.conv(rows[0][0]).mean((2, 3)), atol=1e-6)
    assert found.min() < 0
    assert not model.conv._forward_hooks
    assert not model._forward_pre_hooks


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(9, 4)
        self.fc = nn.Linear(4, 2)

    def forward(self, input_ids, attention_mask=None):
        return self.fc(self.embedding(input_ids)[:, 0])


def test_tokens_are_averaged_where_the_mask_lets_them():
    torch.manual_seed(0)
    model, ids = Words(), torch.randint(9, (3, 5))
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]])
    labels = torch.zeros(3, dtype=torch.int64)
    (masked,), _ = representations(
        [model], [({"input_ids": ids, "attention_mask": mask}, labels)], layer="embedding", tokens=True
    )
    vectors = model.embedding(ids)
    expected = torch.stack([vectors[0].mean(0), vectors[1, :2].mean(0), vectors[2, 0]])
    assert torch.allclose(masked, expected, atol=1e-6)
    (plain,), _ = representations([model], [({"input_ids": ids}, labels)], layer="embedding", tokens=True)
    assert torch.allclose(plain, vectors.mean(1), atol=1e-6)
    with pytest.raises(ValueError, match=r"with tokens=True it must be \(rows, tokens, width\)"):
        representations([model], [({"input_ids": ids}, labels)], layer="fc", tokens=True)


def test_what_cannot_be_compared_is_named():
    rows = [(torch.randn(5, 1, 6, 6), torch.zeros(5, dtype=torch.int64))]
    models = [Maps(0), Maps(1)]
    with pytest.raises(ValueError, match=r"Maps has no layer 'convv' \(near: 'conv'\)"):
        similarity(models, rows, layer="convv")
    assert not models[0]._forward_pre_hooks
    with pytest.raises(ValueError, match="'idle' is never called"):
        similarity(models, rows, layer="idle")
    with pytest.raises(ValueError, match="no pair to compare"):
        similarity(models[:1], rows)
    nn.init.zeros_(models[1].conv.weight)
    with pytest.raises(ValueError, match="student 1 at 'conv' is the same for all 5 rows"):
        similarity(models, rows, layer="conv")
    with pytest.raises(ValueError, match=r"'the last nn.Linear' is never called"):
        similarity([nn.Flatten(), nn.Flatten()], [(torch.randn(2, 3), torch.zeros(2, dtype=torch.int64))])


def test_a_run(three):
    found = analyses["similarity"](three.folder)
    assert found["layer"] == "input of fc"
    assert [found["cka"][k][k] for k in range(3)] == [1.0] * 3
    assert found["similarity"] == pytest.approx(
        (found["cka"][0][1] + found["cka"][0][2] + found["cka"][1][2]) / 3
    )
    stem = dataclasses.replace(analyses["similarity"], layer="conv1")(three.folder)
    assert stem["similarity"] == pytest.approx(1.0)  # all three share it
    table = analyses["similarity"].table(found)
    assert table[-1][:2] == ("mean over pairs", f"{found['similarity']:.3f}")
