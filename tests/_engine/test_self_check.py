"""What a group answers is what its exports answer, or it is refused by name before training."""

import copy
import types

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import studygroup as sg
from helpers.shipped import CLASSES, assert_ships, groups


class View(nn.Module):
    """Reads the number of rows before students part."""

    def __init__(self):
        super().__init__()
        self.stem, self.body, self.fc = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 8, 3), nn.Linear(8, CLASSES)

    def forward(self, x):
        b = x.shape[0]
        return self.fc(self.body(self.stem(x).relu()).relu().view(b, 8, -1).mean(-1))


class LastToken(nn.Module):
    """Takes the last token by the numbers of the rows that entered."""

    def __init__(self):
        super().__init__()
        self.embedding, self.body, self.fc = nn.Embedding(20, 8), nn.Linear(8, 8), nn.Linear(8, CLASSES)

    def forward(self, ids, lengths):
        h = self.body(self.embedding(ids)).relu()
        return self.fc(h[torch.arange(len(ids)), lengths - 1])


class Chunked(nn.Module):
    """Keeps as many rows as entered, without a routed layer behind."""

    def __init__(self):
        super().__init__()
        self.body, self.fc = nn.Linear(6, 8), nn.Linear(8, CLASSES)

    def forward(self, x):
        h = self.body(x)
        return self.fc(h - h.mean(0))  # rows in flight are of all students


class Doubled(nn.Module):
    """Computes with the rows of one student only."""

    def __init__(self):
        super().__init__()
        self.body, self.mid, self.fc = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, CLASSES)

    def forward(self, x):
        h = self.body(x)
        return self.fc(h + self.mid(h[: len(x)]).repeat(len(h) // len(x), 1))


IDS = {"ids": torch.randint(0, 20, (6, 5)), "lengths": torch.tensor([1, 2, 3, 4, 5, 5])}


@pytest.mark.parametrize("init", ["builder", "copy"])
@pytest.mark.parametrize(
    ("build", "layers", "inputs", "message"),
    [
        (
            View,
            ["body", "fc"],
            torch.randn(5, 1, 8, 8),
            "after layer 'body', at or before layer 'fc'.*as entered",
        ),
        (LastToken, ["body", "fc"], IDS, "after layer 'body', at or before layer 'fc'.*as entered"),
        (Chunked, ["body", "fc"], torch.randn(5, 6), "after layer 'body', at or before layer 'fc'"),
        (Doubled, ["body", "mid", "fc"], torch.randn(5, 6), "layer 'mid' was given as many as entered"),
    ],
)
def test_rows_of_other_students_are_refused_at_the_first_pass(build, layers, inputs, message, init):
    """Copies start equal: only rows and modules that are told apart show that they are mixed."""
    start = build if init == "builder" else "copy"
    group = sg.StudyGroup(build(), sg.routes.branches(layers, students=3), init=start)
    with pytest.raises(ValueError, match=message):
        group(inputs)
    with pytest.raises(ValueError, match=message):
        sg.StudyGroup(build(), sg.routes.branches(layers, students=3), init=start, example=inputs)
    assert_ships(groups(build, [layers[-1]]), inputs)  # nothing parts before


@pytest.mark.parametrize("rows", [torch.zeros(2, 6), torch.ones(4, 6), torch.randn(1, 6)])
def test_equal_rows_hide_nothing(rows):
    with pytest.raises(ValueError, match="after layer 'body'"):
        groups(Chunked, ["body", "fc"], example=rows)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.inner, self.fc = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, CLASSES)

    def forward(self, x):
        h = self.stem(x)
        return self.fc(h + self.inner(h))


def test_layers_inside_a_residual_connection_need_rows_of_one_owner():
    group = groups(Residual, ["inner", "fc"], students=3)
    owner = torch.tensor([2, 0, 1, 1, 0, 2, 0])
    assert_ships(group, torch.randn(7, 6), sees=torch.arange(3)[:, None] == owner)
    with pytest.raises(ValueError, match="inside a residual connection"):
        group(torch.randn(7, 6))


class InPlace(nn.Module):
    """What is read again has been changed by the routed layer."""

    def __init__(self, *, again=True):
        super().__init__()
        self.stem, self.fc, self.again = nn.Linear(6, 8), nn.Linear(8, CLASSES), again
        self.conv = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(8, 8))

    def forward(self, x):
        h = self.stem(x)
        return self.fc(self.conv(h) + h) if self.again else self.fc(self.conv(h))


class Clamps(InPlace):
    """The same by a method of the tensor."""

    def __init__(self, *, again=True):
        super().__init__(again=again)
        self.conv = Clamp()


class Clamp(nn.Linear):
    def __init__(self):
        super().__init__(8, 8)

    def forward(self, h):
        return super().forward(h.clamp_(0, 1))


INTERLEAVED = sg.routes.tree({"stem": [0, 1, 2], "conv": [0, 1, 0], "fc": [0, 1, 2]})


@pytest.mark.parametrize("build", [InPlace, Clamps])
def test_work_in_place_on_gathered_rows_counts_only_where_they_are_read_again(build):
    x = torch.randn(5, 6)
    with pytest.raises(ValueError, match=r"'conv' changes its input in place.*reads that input again"):
        sg.StudyGroup(build(), INTERLEAVED, init=build)(x)
    harmless = lambda: build(again=False)
    group = sg.StudyGroup(harmless(), INTERLEAVED, init=harmless)
    assert_ships(group, x)
    group.train()(x).logits.sum().backward()
    gradient = group.export(2).train()
    gradient(x).sum().backward()
    torch.testing.assert_close(group.model.stem.bank[2].weight.grad, gradient.stem.weight.grad)


def bound() -> nn.Module:
    net = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, CLASSES))
    net.forward = types.MethodType(lambda self, x: self[2](self[0](x.float()).tanh()), net)
    return net


def parametrised() -> nn.Module:
    weight_norm = nn.utils.parametrizations.weight_norm
    return nn.Sequential(weight_norm(nn.Linear(6, 6)), nn.ReLU(), weight_norm(nn.Linear(6, CLASSES)))


def spectral() -> nn.Module:
    norm = nn.utils.parametrizations.spectral_norm
    return nn.Sequential(norm(nn.Linear(6, 6)), nn.ReLU(), nn.Linear(6, CLASSES))


def traced() -> nn.Module:
    return torch.fx.symbolic_trace(nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, CLASSES)))


def compiled() -> nn.Module:
    return torch.compile(nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, CLASSES)), backend="eager")


def warmed_lazy() -> nn.Module:
    net = nn.Sequential(nn.LazyLinear(6), nn.ReLU(), nn.LazyLinear(CLASSES))
    net(torch.randn(2, 6))
    return net


@pytest.mark.parametrize("build", [bound, parametrised, spectral, compiled, warmed_lazy])
def test_networks_of_many_kinds_ship_what_the_group_answers(build):
    x = torch.randn(5, 6)
    assert_ships(groups(build, [""]), x)
    if build not in (bound, compiled):
        assert_ships(groups(build, ["0", "2"]), x)
        owner = torch.arange(5) % 2
        assert_ships(groups(build, ["0", "2"]), x, sees=torch.arange(2)[:, None] == owner)


def test_a_traced_graph():
    x = torch.randn(5, 6)
    for routes in (sg.routes.independent(students=2), sg.routes.branches(["0", "2"], students=2)):
        torch.manual_seed(0)
        assert_ships(sg.StudyGroup(traced(), routes), x)


def test_a_pruned_layer_keeps_its_mask_in_every_student():
    def build():
        net = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, CLASSES))
        prune.l1_unstructured(net[2], "weight", amount=0.5)
        return net

    try:
        group = groups(build, ["2"])
    except RuntimeError:
        pytest.skip("copies of computed weights are made elsewhere")
    assert_ships(group, torch.randn(5, 6))


class Encoder(nn.Module):
    def __init__(self, *, nested):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=nested)
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, x, padding):
        return self.fc(self.encoder(x, src_key_padding_mask=padding)[:, 0])


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_an_encoder_with_a_padding_mask_is_right_or_says_what_to_do():
    x = {"x": torch.randn(4, 6, 8), "padding": torch.arange(6) >= torch.tensor([[3], [4], [5], [5]])}
    layers = ["encoder.layers.1", "fc"]
    with pytest.raises(
        ValueError, match=r"'encoder\.layers\.1' was given a nested tensor.*enable_nested_tensor=False"
    ):
        groups(lambda: Encoder(nested=True), layers, example=x)
    assert_ships(groups(lambda: Encoder(nested=False), layers), x)
    assert_ships(groups(lambda: Encoder(nested=True), ["encoder", "fc"]), x)


class SideEffects(nn.Module):
    """Counts, assigns a buffer anew, and draws."""

    def __init__(self):
        super().__init__()
        self.linear, self.norm, self.drop = nn.Linear(6, CLASSES), nn.BatchNorm1d(CLASSES), nn.Dropout(0.5)
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(6))

    def forward(self, x):
        self.count += 1
        self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)
        return self.drop(self.norm(self.linear(x - self.mean.detach() * 0)))


def test_nothing_of_the_comparison_is_left():
    group = groups(SideEffects, ["linear", "norm"], students=2, share_head=True)
    before, modes = copy.deepcopy(group.state_dict()), [m.training for m in group.modules()]
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    with torch.no_grad():
        example = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
        sg.StudyGroup(SideEffects(), group.routes, init="copy", share_head=True, example=example)
    other = groups(SideEffects, ["linear", "norm"], share_head=True, example=example)
    assert [m.training for m in other.modules()] == modes
    for name, value in other.state_dict().items():
        assert torch.equal(value, before[name]), name
    del expected


def test_random_numbers_stand_where_they_stood():
    group = groups(SideEffects, ["linear", "norm"], share_head=True)
    x = torch.randn(4, 6)
    torch.manual_seed(5)
    first = group.train()(x).logits
    group.load_state_dict(groups(SideEffects, ["linear", "norm"], share_head=True).state_dict())
    torch.manual_seed(5)
    torch.testing.assert_close(group(x).logits, first)


class Noisy(Residual):
    """Draws in evaluation too: nothing can be compared, and nothing is refused."""

    def forward(self, x):
        return super().forward(nn.functional.dropout(x, 0.5, training=True))


def test_answers_that_are_drawn_are_not_compared():
    group = groups(Noisy, ["stem", "inner", "fc"])
    assert group(torch.randn(4, 6)).logits.shape == (2, 4, CLASSES)


class Calling(nn.Module):
    """Counts its calls."""

    def __init__(self):
        super().__init__()
        self.linear, self.fc, self.calls = nn.Linear(6, 6), nn.Linear(6, CLASSES), []

    def forward(self, x):
        self.calls.append(tuple(x.shape))
        return self.fc(self.linear(x).mean(1) if x.ndim == 3 else self.linear(x))


def test_what_draws_nothing_in_evaluation_is_run_once_for_a_branch_of_its_own():
    """Of modules without state the first works for all; a student alone has its own."""
    build = lambda: nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 2))
    group = sg.StudyGroup(build(), sg.routes.branches(["1", "2"], students=3), init=build).eval()
    x = torch.randn(5, 4)
    logits = group(x).logits
    for student in range(3):
        torch.testing.assert_close(logits[student], group.export(student)(x))
    assert group.train()(x).logits.shape == (3, 5, 2)


def test_the_comparison_is_made_once_for_each_sort_of_input():
    group = groups(Calling, ["linear", "fc"])
    calls = group.model.calls

    def made(*args, **options) -> int:
        calls.clear()
        group(*args, **options)
        return len(calls) - 1

    assert made(torch.randn(5, 6)) > 0
    assert made(torch.randn(5, 6)) == 0
    assert made(torch.randn(9, 6)) == 0  # the number of rows is no sort
    assert made(torch.randn(5, 4, 6)) > 0
    assert made(torch.randn(5, 7, 6)) > 0
    assert made(torch.randn(3, 4, 6)) == 0
    sees = torch.arange(2)[:, None] == torch.arange(5) % 2
    assert made(torch.randn(5, 6), sees=sees) > 0
    assert made(torch.randn(5, 6), sees=sees.flip(0)) == 0
    assert sum(made(torch.randn(5, 8 + size, 6)) > 0 for size in range(20)) == 6  # 8 sizes in all
