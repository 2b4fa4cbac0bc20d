"""A network that takes another way in training is compared with its exports there too, before the first update."""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from helpers.training_way import CLASSES, OWNERS, Net, assert_trains_as_its_exports, group
from studygroup._engine.self_check import MixedRowsWarning


class Reshapes(Net):
    def way(self, h, x):
        return h.view(len(x), 8, -1).mean(-1)


class Pairs(Net):
    """Mixes each row with its neighbour."""

    def way(self, h, x):
        return 0.7 * h + 0.3 * h.roll(1, 0)


class Mixes(Net):
    """Mixes rows at random, as mixup of features does."""

    def way(self, h, x):
        return 0.7 * h + 0.3 * h[torch.randperm(len(h))]


class OtherHead(Net):
    """An auxiliary head reads the weights of another layer."""

    def __init__(self):
        super().__init__()
        self.aside = Reader()
        self.aside.hidden = [self.body]

    def way(self, h, x):
        return h + self.aside(h)


class Reader(nn.Linear):
    def __init__(self):
        super().__init__(8, 8)

    def forward(self, h):
        return super().forward(h) @ self.hidden[0].weight


class Drops(Net):
    """Leaves out the head that students part in."""

    def forward(self, x):
        h = self.body(self.stem(x).relu()).relu()
        return h[:, :CLASSES] if self.training else self.fc(h)


class Tuple(Net):
    def forward(self, x):
        logits = super().forward(x)
        return (logits, logits) if self.training else logits


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (Reshapes, "as many rows as entered|cannot take rows"),
        (Pairs, r"after layer 'body', at or before layer 'fc' in training"),
        (Mixes, r"after layer 'body', at or before layer 'fc' in training"),
        (
            OtherHead,
            r"layer 'aside' reads a parameter of shape \(8, 8\) that no|'aside' reads parameter 'body\.weight'",
        ),
        (Drops, "'fc' is routed but the model never calls it in training"),
        (Tuple, "the model returned tuple"),
    ],
)
def test_what_differs_in_training_alone_is_refused_before_training(build, message):
    x = torch.randn(7, 6)
    made = group(build).eval()
    made(x)  # right in evaluation
    with pytest.raises(ValueError, match=message):
        made.train()(x)
    with pytest.raises(ValueError, match=message):
        group(build, example=x)


class Scales(Net):
    """A way that is each row's own."""

    def way(self, h, x):
        return h * 2 + h.mean(1, keepdim=True)


class Deeper(Net):
    """A layer that is called in training alone, shared by all or a student's own."""

    def __init__(self):
        super().__init__()
        self.more = nn.Linear(8, 8)

    def way(self, h, x):
        return self.more(h).tanh()


class Frozen(Net):
    """Keeps its norm in evaluation."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))
        self.body[1].running_mean.fill_(0.5)

    def train(self, mode=True):
        super().train(mode)
        self.body[1].eval()
        return self


class Recomputed(Net):
    def __init__(self):
        super().__init__()
        self.body = self.Body()

    class Body(nn.Linear):
        def __init__(self):
            super().__init__(8, 8)

        def forward(self, x):
            return checkpoint(super().forward, x, use_reentrant=True) if self.training else super().forward(x)


@pytest.mark.parametrize("sees", [None, OWNERS], ids=["all", "owners"])
@pytest.mark.parametrize("build", [Scales, Deeper, Frozen, Recomputed])
def test_a_way_of_its_own_in_training_is_right(build, sees):
    for layers in (("body", "fc"), ("fc",)):
        assert_trains_as_its_exports(group(build, layers), torch.randn(7, 6), sees)
    if build is Deeper:
        made = group(build).eval()
        made(torch.randn(7, 6))
        assert_trains_as_its_exports(made.train(), torch.randn(7, 6), sees)


class Noisy(Net):
    """Everything that draws."""

    def __init__(self):
        super().__init__()
        self.drop, self.attention = (
            nn.Dropout(0.5),
            nn.MultiheadAttention(8, 2, dropout=0.3, batch_first=True),
        )
        self.generator = torch.Generator().manual_seed(3)

    def way(self, h, x):
        keep = torch.empty(len(h), 1).bernoulli_(0.8) / 0.8  # stochastic depth
        h = self.drop(h) + keep * nn.functional.gelu(h) + 0.1 * torch.randn_like(h)
        h = h * torch.empty_like(h).uniform_(0.9, 1.1) + nn.functional.gumbel_softmax(h)
        h = h + self.attention(h[:, None], h[:, None], h[:, None])[0][:, 0]
        h = nn.functional.rrelu(h, training=True)  # a draw that is not replaced
        if torch.rand(()) < 0.3:
            return h * 2
        return h + torch.rand(len(h), 1, generator=self.generator)


@pytest.mark.parametrize("sees", [None, OWNERS], ids=["all", "owners"])
def test_draws_raise_no_false_alarm_and_stand_where_they_stood(sees):
    x = torch.randn(7, 6)
    made = group(Noisy)
    made.eval()(x)
    state = made.model.generator.get_state()
    other = copy.deepcopy(made).train()

    def answers() -> torch.Tensor:
        torch.manual_seed(5)
        other.model.generator.set_state(state)
        return other(x, sees=sees).logits

    found = answers()  # with the comparison before it
    torch.testing.assert_close(answers(), found)  # without


class Stateful(Net):
    """Counts, keeps its last hidden state and a queue of features, and is initialised by its first batch."""

    def __init__(self):
        super().__init__()
        self.steps, self.hidden, self.ready = 0, None, False
        self.shift = torch.zeros(8)
        self.register_buffer("queue", torch.zeros(4, 8))
        self.register_buffer("place", torch.zeros((), dtype=torch.long))

    def way(self, h, x):
        if not self.ready:
            self.shift, self.ready = h.detach()[:1].mean(0) * 0 + 0.5, True
        self.steps += 1
        self.last = h
        h = h + self.queue.mean(0) + self.shift + self.steps
        self.hidden = (h.detach(),)
        self.queue[self.place] = 1.0
        self.place = (self.place + 1) % 4
        return h


def test_what_a_pass_changes_is_put_back():
    x = torch.randn(7, 6)
    made = group(Stateful, ("fc",))
    network = made.export(1).train()
    before = copy.deepcopy(made.state_dict())
    made.model.fc.register_forward_hook(fails_on(7))
    with pytest.raises(ValueError, match="boom"):
        made(x)  # the comparison has passed, the pass itself has not
    after = made.model
    assert after.steps == 1
    after.steps, after.hidden, after.ready, after.shift = 0, None, False, torch.zeros(8)
    made.load_state_dict(before)
    after.fc._forward_hooks.clear()
    torch.testing.assert_close(made(x).logits[1], network(x))
    assert (made.model.steps, int(made.model.place)) == (network.steps, int(network.place)) == (1, 1)
    assert len(made.model.hidden[0]) == 7
    assert torch.equal(made.model.queue, network.queue)


def fails_on(rows: int):
    def hook(module, args, output):
        if len(args[0]) == rows:
            raise ValueError("boom")

    return hook


class BatchScale(nn.Module):
    """A normalisation over the batch that torch does not know."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(8))

    def forward(self, h):
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * h.detach().mean(0)
            return h - h.mean(0)
        return h - self.mean


class Normalised(Net):
    def __init__(self):
        super().__init__()
        self.norm = BatchScale()

    def forward(self, x):
        return self.fc(self.norm(self.body(self.stem(x).relu())))


def test_statistics_over_the_batch_are_warned_of_where_they_mix_students():
    x = torch.randn(7, 6)
    with pytest.warns(MixedRowsWarning, match=r"after layer 'body', at or before layer 'norm'"):
        made = group(Normalised)(x)
    assert made.logits.isfinite().all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = group(Normalised, ("fc",))
        network = made.export(2).train()
        torch.testing.assert_close(made(x).logits[2], network(x))  # all rows are those of each
        whole = group(Normalised, ("",))
        network = whole.export(2).train()
        torch.testing.assert_close(whole(x, sees=OWNERS).logits[2][OWNERS[2]], network(x[OWNERS[2]]))


def test_the_comparison_is_made_once_for_each_mode():
    made = group(Net).eval()
    calls = []
    made.model.stem.register_forward_hook(lambda module, args, output: calls.append(len(args[0])))

    def passes() -> int:
        calls.clear()
        made(torch.randn(5, 6))
        return len(calls) - 1

    assert passes() > 0
    assert passes() == 0
    assert made.train() is made
    assert passes() > 0
    assert passes() == 0
    assert made.eval() is made
    assert passes() == 0


class StepsFirst(Net):
    def forward(self, x):
        return self.fc(self.body(self.stem(x)[None].expand(5, -1, -1))[0])


def test_rows_along_another_axis_are_refused():
    with pytest.raises(ValueError, match="rows must lie along axis 0"):
        group(StepsFirst)(torch.randn(7, 6))
