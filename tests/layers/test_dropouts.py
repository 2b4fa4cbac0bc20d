"""Which dropout layers give views, and what an error says where there are none."""

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from helpers.networks import CASES, OURS
from studygroup.layers import dropout_layers
from studygroup.models import cifar_resnet18, cifar_vgg16

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_the_papers_networks():
    assert dropout_layers(cifar_vgg16(7, width=8), IMAGES) == ("classifier.2", "classifier.5")
    assert dropout_layers(cifar_resnet18(7, width=16, hidden=(8, 8)), IMAGES[:1]) == ("fc.2", "fc.5")


def test_one_row_is_enough_for_a_batch_norm():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.2), nn.Linear(4, 2))
    assert dropout_layers(model, torch.randn(1, 4)) == ("2",)


def test_text_transformers_in_the_order_of_the_calls():
    layers = (
        (f"bert.encoder.layer.{i}.attention.output", f"bert.encoder.layer.{i}.output") for i in range(3)
    )
    inner = [f"{name}.dropout" for pair in layers for name in pair]
    expected = ("bert.embeddings.dropout", *inner, "dropout")
    model = CASES["bert"].build()
    assert dropout_layers(model, CASES["bert"].inputs(3)) == expected
    torch_own = nn.TransformerEncoderLayer(16, 2, 32, 0.1, batch_first=True)
    assert dropout_layers(torch_own, torch.randn(2, 5, 16)) == ("dropout1", "dropout", "dropout2")
    inside = [f"blocks.{i}.layer.{name}" for i in range(3) for name in ("dropout1", "dropout2")]
    model = OURS["transformer"].build()
    found = dropout_layers(model, OURS["transformer"].inputs(3))
    assert found == ("embedding.dropout", *inside, "dropout")


def test_vision_transformers():
    model = timm.create_model("test_vit", drop_rate=0.1, pos_drop_rate=0.1, proj_drop_rate=0.1, depth=1)
    assert dropout_layers(model, torch.randn(2, 3, 160, 160)) == (
        "pos_drop", "blocks.0.attn.proj_drop", "blocks.0.mlp.drop1", "blocks.0.mlp.drop2", "head_drop"
    )  # fmt: skip


class Order(nn.Module):
    """All kinds, registered in another order than called; one is called twice, one never, one drops nothing."""

    def __init__(self):
        super().__init__()
        self.e, self.d, self.c = nn.FeatureAlphaDropout(), nn.AlphaDropout(), nn.Dropout3d()
        self.b, self.a = nn.Dropout2d(), nn.Dropout(0.1)
        self.never, self.zero, self.one = nn.Dropout(), nn.Dropout(0.0), nn.Dropout1d()

    def forward(self, x):
        x = self.one(self.a(self.zero(x[:, :, 0, 0])))
        return self.a(self.e(self.d(self.c(self.b(x[:, :, None, None])[..., None]))))


def test_kinds_order_and_what_does_not_count():
    assert dropout_layers(Order(), torch.randn(2, 3, 4, 4)) == ("a", "one", "b", "c", "d", "e")


class Functional(nn.Module):
    """Dropout in functions and attention, and things in the place of dropout."""

    def __init__(self, rate):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, dropout=rate, batch_first=True)
        self.inner = Inner(rate)
        self.zero, self.never, self.head_drop = nn.Dropout(0.0), nn.Dropout(), nn.Identity()

    def forward(self, x):
        x = self.zero(self.attention(x, x, x)[0])
        return self.head_drop(self.inner(x))


class Inner(nn.Module):
    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def forward(self, x):
        x = F.scaled_dot_product_attention(x, x, x, dropout_p=self.rate)
        return F.dropout(x, self.rate, self.training)


def test_an_error_names_what_was_found():
    x = torch.randn(2, 5, 8)
    with pytest.raises(ValueError, match="Functional has no dropout layer that drops") as found:
        dropout_layers(Functional(0.1), x)
    text = str(found.value)
    for words in (
        "dropout with p = 0 'zero';",
        "dropout that is never called 'never';",
        "dropout called as a function in 'attention', 'inner';",
        "nn.Identity 'head_drop'.",
        "Give it nn.Dropout modules with p > 0",
    ):
        assert words in text
    with pytest.raises(ValueError, match=r"'never'; nn\.Identity"):  # at rate 0 the functions drop nothing
        dropout_layers(Functional(0.0), x)


@pytest.mark.parametrize(
    "drop",
    [
        lambda x: F.dropout(x),
        lambda x: F.dropout(x, p=0.3),
        lambda x: F.dropout2d(x, 0.3, True),
        lambda x: F.alpha_dropout(x, 0.3, training=True),
        lambda x: torch.dropout(x, 0.3, True),
        lambda x: torch.dropout_(x + 0, 0.3, train=True),
    ],
)
def test_functions_that_drop(drop):
    class Net(nn.Module):
        def forward(self, x):
            return drop(x)

    with pytest.raises(ValueError, match="dropout called as a function in 'Net'"):
        dropout_layers(Net(), IMAGES)


@pytest.mark.parametrize(
    "drop", [lambda x: F.dropout(x, 0.0), lambda x: F.dropout(x, 0.5, False), torch.relu]
)
def test_functions_that_drop_nothing(drop):
    class Net(nn.Module):
        def forward(self, x):
            return drop(x)

    with pytest.raises(ValueError, match="found nothing of the kind"):
        dropout_layers(Net(), IMAGES)


def test_long_lists_are_cut_and_drop_comes_first():
    with pytest.raises(ValueError, match=r"nn.Identity 'bn1.drop'.* and others\. Give") as found:
        dropout_layers(CASES["timm_efficientnet"].build(), CASES["timm_efficientnet"].inputs(2))
    assert str(found.value).count("'") == 10


def test_nothing_is_left_behind():
    model = cifar_vgg16(7, width=8).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    dropout_layers(model, IMAGES)
    assert not any(module.training for module in model.modules())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
