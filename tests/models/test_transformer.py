"""The text Transformer against loops written from the papers, and what padding may not do."""

import math

import pytest
import torch
from torch import nn

import studygroup as sg
from helpers.networks import OURS, assert_real_and_learning
from studygroup.layers import blocks, last_group
from studygroup.models import text_transformer
from studygroup.models.transformer import mean_over_tokens, sinusoids
from studygroup.objectives import Capture


def small(**options):
    sizes = {"vocabulary": 40, "embedding": 6, "hidden": 4, "heads": 2, "blocks": 2, "feed_forward": 5}
    return text_transformer(3, **(sizes | {"length": 12} | options))


def texts(lengths, width=None, seed=0):
    """Ids and mask of rows of these lengths, filled up with 0."""
    width = width or max(lengths)
    mask = (torch.arange(width) < torch.tensor(lengths)[:, None]).long()
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(1, 40, (len(lengths), width), generator=draw) * mask, mask


def test_sizes_of_the_paper():
    with torch.device("meta"):
        net = text_transformer(2)
    attention = 4 * (128 * 128 + 128)
    feed_forward = 128 * 512 + 512 + 512 * 128 + 128
    block = attention + feed_forward + 4 * 128
    expected = 16_000 * 512 + 512 * 128 + 128 + 3 * block + 2 * 128 + 2
    assert sum(p.numel() for p in net.parameters()) == expected == 8_852_738
    assert net.blocks[0].layer.self_attn.num_heads == 4
    assert net.length == 512
    dropping = [name for name, m in net.named_modules() if isinstance(m, nn.Dropout) and m.p == 0.1]
    assert dropping[0] == "embedding.dropout"
    assert dropping[1:-1] == [f"blocks.{i}.layer.dropout{j}" for i in range(3) for j in (1, 2)]
    assert dropping[-1] == "dropout"
    assert all(block.layer.self_attn.dropout == 0 for block in net.blocks)
    assert not any("positions" in key for key in net.state_dict())


def position(p, i, width):
    angle = p / 10_000 ** (2 * (i // 2) / width)
    return math.sin(angle) if i % 2 == 0 else math.cos(angle)


@pytest.mark.parametrize("width", [1, 5, 8])
def test_positions_by_a_loop(width):
    expected = torch.tensor([[position(p, i, width) for i in range(width)] for p in range(7)])
    torch.testing.assert_close(sinusoids(7, width), expected, atol=1e-7, rtol=0)


def linear(x, weight, bias):
    return [sum(w * v for w, v in zip(row, x, strict=True)) + b for row, b in zip(weight, bias, strict=True)]


def normed(x, norm):
    mean = sum(x) / len(x)
    variance = sum((v - mean) ** 2 for v in x) / len(x)
    return [
        (v - mean) / (variance + norm.eps).sqrt() * a + b
        for v, a, b in zip(x, norm.weight, norm.bias, strict=True)
    ]


def attended(xs, attention):
    width, heads = attention.embed_dim, attention.num_heads
    size = width // heads
    projected = [linear(x, attention.in_proj_weight, attention.in_proj_bias) for x in xs]
    q, k, v = ([p[i * width : (i + 1) * width] for p in projected] for i in range(3))
    out = []
    for t in range(len(xs)):
        row = []
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            scores = [
                sum(a * b for a, b in zip(q[t][part], key[part], strict=True)) / math.sqrt(size) for key in k
            ]
            shares = torch.stack(scores).softmax(0)
            row += [
                sum(share * value[part][i] for share, value in zip(shares, v, strict=True))
                for i in range(size)
            ]
        out.append(linear(row, attention.out_proj.weight, attention.out_proj.bias))
    return out


def logits_by_loop(net, row):
    """Of the tokens of one row, without padding."""
    table, projection = net.embedding.tokens.weight, net.embedding.projection
    width = table.shape[1]
    xs = [
        linear(
            [table[i, j] * math.sqrt(width) + position(p, j, width) for j in range(width)],
            projection.weight,
            projection.bias,
        )
        for p, i in enumerate(row)
    ]
    for block in net.blocks:
        layer = block.layer
        pairs = zip(xs, attended(xs, layer.self_attn), strict=True)
        xs = [normed([a + b for a, b in zip(*pair, strict=True)], layer.norm1) for pair in pairs]
        hidden = [[v.clamp(min=0) for v in linear(x, layer.linear1.weight, layer.linear1.bias)] for x in xs]
        new = [linear(h, layer.linear2.weight, layer.linear2.bias) for h in hidden]
        pairs = zip(xs, new, strict=True)
        xs = [normed([a + b for a, b in zip(*pair, strict=True)], layer.norm2) for pair in pairs]
    mean = [sum(x[i] for x in xs) / len(xs) for i in range(len(xs[0]))]
    return torch.stack(linear(mean, net.fc.weight, net.fc.bias))


def test_a_padded_batch_by_loops_over_rows_without_padding():
    torch.manual_seed(0)
    net = small().double().eval()
    exact = [[position(p, i, 6) for i in range(6)] for p in range(12)]
    net.embedding.positions = torch.tensor(exact, dtype=torch.float64)
    for p in net.parameters():  # norms and biases, too
        p.data += 0.2 * torch.randn_like(p)
    x, mask = texts([5, 2, 7, 1], width=9)
    found = net(x, mask)
    rows = [row[: int(m.sum())].tolist() for row, m in zip(x, mask, strict=True)]
    expected = torch.stack([logits_by_loop(net, row) for row in rows])
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)
    assert (found[0] - found[1]).abs().max() > 1e-2
    parameters = list(net.parameters())
    gradients = zip(
        torch.autograd.grad(found.square().sum(), parameters),
        torch.autograd.grad(expected.square().sum(), parameters),
        strict=True,
    )
    for number, (a, b) in enumerate(gradients):
        if number == 0:  # the padding's own vector is never trained
            a, b = a[1:], b[1:]
        torch.testing.assert_close(a, b, atol=1e-11, rtol=1e-11)


def test_how_far_rows_are_filled_up_does_not_matter():
    torch.manual_seed(0)
    net = text_transformer(2, vocabulary=40).eval()
    x, mask = texts([40, 3, 17])
    longer, longer_mask = torch.zeros(3, 512, dtype=torch.long), torch.zeros(3, 512, dtype=torch.long)
    longer[:, :40], longer_mask[:, :40] = x, mask
    with torch.no_grad():
        logits = net(x, mask)
        assert (net(longer, longer_mask) - logits).abs().max() < 1e-5
        assert (net(x[1:2, :3], mask[1:2, :3]) - logits[1]).abs().max() < 1e-5
        noise = x + (1 - mask) * 5  # what stands at padding
        assert (net(noise, mask) - logits).abs().max() < 1e-5
    assert (logits[0] - logits[1]).abs().max() > 1e-3


def test_gradients_do_not_come_from_padding():
    net = small().eval()
    x, mask = texts([5, 2], width=8)
    x = x + (1 - mask) * 30
    net(x, mask).square().sum().backward()
    rows = net.embedding.tokens.weight.grad.abs().sum(1) > 0
    assert set(rows.nonzero().flatten().tolist()) == set(x[mask.bool()].tolist())


def test_without_a_mask_the_paddings_id_is_padding():
    net = small(padding=3).eval()
    x, mask = texts([5, 2, 7], width=9)
    x = x.where(x != 3, 4).where(mask.bool(), 3)
    torch.testing.assert_close(net(x), net(x, mask))
    assert torch.equal(net(x, mask.bool()), net(x, mask))
    assert not torch.allclose(net(x), net(x, torch.ones_like(mask)), atol=1e-3)


def test_padding_may_stand_on_either_side():
    net = small()
    net.embedding.positions.zero_()
    net.eval()
    x, mask = texts([3, 5], width=8)
    torch.testing.assert_close(net(x.flip(1), mask.flip(1)), net(x, mask))


def test_a_row_of_nothing_but_padding_is_read_as_it_is():
    net = small().train()
    x, mask = texts([5, 0, 3])
    logits = net(x, mask)
    logits.square().sum().backward()
    assert logits.isfinite().all()
    assert all(p.grad.isfinite().all() for p in net.parameters())
    net.eval()
    torch.testing.assert_close(net(x, mask)[1:2], net(x[1:2], torch.ones_like(mask[1:2])))


def test_evaluation_without_gradient_is_the_same_and_leaves_no_module_out(monkeypatch):
    def fused(*args):
        raise AssertionError("the encoder layer's modules were left out")

    monkeypatch.setattr(torch, "_transformer_encoder_layer_fwd", fused)
    net = small().eval()
    x, mask = texts([5, 2, 7])
    with torch.no_grad():
        logits = net(x, mask)
    torch.testing.assert_close(net(x, mask), logits, atol=1e-6, rtol=1e-6)


def test_a_layer_inside_a_block_can_be_routed_where_rows_have_parted_before():
    net, inside = small(), "blocks.1.layer.linear1"
    routes = sg.routes.tree({"embedding": [0, 1], inside: [0, 1]})
    group = sg.StudyGroup(net, routes, init=small, share_head=True).eval()
    x, mask = texts([5, 2, 7])
    with torch.no_grad():
        outputs = group({"input_ids": x, "attention_mask": mask}, capture=Capture(activations=(inside,)))
        for student in range(2):
            alone = group.export(student).eval()
            torch.testing.assert_close(outputs.logits[student], alone(x, mask))
    assert outputs.activations[inside].shape == (2, 3, 7, 5)
    assert not torch.allclose(*outputs.activations[inside])


@pytest.mark.parametrize("inside", ["embedding.dropout", "blocks.0.layer.norm2"])
def test_rows_that_part_where_the_padding_does_not_follow(inside):
    group = sg.StudyGroup(small(), sg.routes.branches([inside], students=2), share_head=True)
    x, mask = texts([5, 2, 7])
    with pytest.raises(ValueError, match=r"rows of tokens come with the padding of \d; .* name the whole"):
        group.train()({"input_ids": x, "attention_mask": mask})


def test_rows_longer_than_the_positions():
    x, mask = texts([13])
    with pytest.raises(ValueError, match="rows have 13 tokens, and the network has positions for 12; cut"):
        small()(x, mask)
    assert small(length=13)(x, mask).shape == (1, 3)


def test_sixteen_paths_and_eight_without_the_embedding():
    net = OURS["transformer"].build()
    assert blocks(net) == (("embedding",), "blocks.0", "blocks.1", "blocks.2")
    assert last_group(net) == ("blocks.2", "fc")
    for layers, paths in ((blocks(net), 16), (blocks(net)[1:], 8)):
        table = sg.routes.random(layers, students=paths, modules=2).table
        assert len(set(zip(*table, strict=True))) == paths


@pytest.mark.parametrize("layer", ["embedding", "blocks.0", "blocks.2", "fc"])
def test_students_may_part_at_any_layer(layer):
    net = OURS["transformer"].build()
    routes = sg.routes.branches([layer], students=3)
    group = sg.StudyGroup(net, routes, init=OURS["transformer"].build, share_head=True).eval()
    x = OURS["transformer"].inputs(4)
    with torch.no_grad():
        logits = group(x).logits
        for student in range(3):
            torch.testing.assert_close(group.export(student).eval()(**x), logits[student])
    assert (logits[0] - logits[1]).abs().max() > 1e-3


def test_embeddings_begin_and_are_drawn_anew_as_large_as_the_positions():
    torch.manual_seed(0)
    net = text_transformer(2, vocabulary=300, embedding=64, padding=5)
    group = sg.StudyGroup(net, sg.routes.branches(["embedding", "fc"], students=2))
    for tokens in group.copies("embedding.tokens"):
        assert tokens.weight.std().item() == pytest.approx(64**-0.5, rel=0.02)
        assert not tokens.weight[5].any()
        scaled = tokens(torch.arange(300))
        assert torch.equal(scaled, tokens.weight * 8)
    first, second = group.copies("embedding.tokens")
    assert not torch.equal(first.weight, second.weight)


def test_every_parameter_is_real_and_learns():
    torch.manual_seed(0)
    assert_real_and_learning(small(), texts([5, 2, 7])[0])


def test_mean_over_tokens_by_a_loop():
    hidden = torch.randn(3, 4, 2, dtype=torch.float64)
    hidden[0, 2] = torch.inf  # what stands at padding is not looked at
    padding = torch.tensor([[False, False, True, True], [True, False, False, True], [False] * 4])
    expected = []
    for row, empty in zip(hidden, padding.tolist(), strict=True):
        kept = [token for token, out in zip(row, empty, strict=True) if not out]
        expected.append(sum(kept) / len(kept))
    torch.testing.assert_close(mean_over_tokens(hidden, padding), torch.stack(expected))


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_autocast(precision):
    net = small()
    x, mask = texts([5, 2, 7])
    with torch.autocast("cpu", dtype=precision):
        logits = net(x, mask)
    logits.float().square().sum().backward()
    assert logits.isfinite().all()
    assert all(p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.skipif(
    torch.__version__ < "2.13", reason="torch.export of 2.11 keeps no free length up to the largest"
)
def test_rows_and_their_length_stay_free_in_an_exported_program():
    net = small().eval()
    x, mask = texts([5, 2, 7])
    free = {0: torch.export.Dim("rows"), 1: torch.export.Dim("length", max=12)}
    program = torch.export.export(net, (x, mask), dynamic_shapes=(free, free))
    for lengths in ([4], [3, 9, 2, 8, 6]):
        other = texts(lengths)
        torch.testing.assert_close(program.module()(*other), net(*other))


@pytest.mark.parametrize(
    "options",
    [{"vocabulary": 0}, {"embedding": 0}, {"heads": 3}, {"heads": 0}, {"blocks": 0}, {"feed_forward": 0},
     {"length": 0}, {"padding": 40}, {"padding": -1}],
)  # fmt: skip
def test_sizes_out_of_range(options):
    with pytest.raises(ValueError, match="give at least 1 for each, heads that divide hidden"):
        small(**options)
