import pytest
import torch
import torchvision.models
import transformers
from torch import nn

import studygroup as sg
from studygroup.layers import blocks, first_groups, last_group
from studygroup.models import (
    build,
    cifar_resnet18,
    cifar_resnet34,
    cifar_vgg16,
    text_transformer,
    vdcnn9,
)


def in_stages(prefix, depths, inner=""):
    return tuple(f"{prefix}{stage}.{inner}{i}" for stage, depth in enumerate(depths) for i in range(depth))


def resnet(depths):
    groups = (f"layer{group + 1}.{i}" for group, depth in enumerate(depths) for i in range(depth))
    return (("conv1", "bn1"), *groups)


def bert():
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
    return transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=50, **sizes))


def mlp():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 8), nn.Linear(8, 2)
    )


class Wrapped(nn.Module):
    """Keeps its layers one level down, as many a user's network does."""

    def __init__(self):
        super().__init__()
        self.net = mlp()


class SideBySide(nn.Module):
    """Blocks as plain attributes."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.first, self.second = (torchvision.models.resnet.BasicBlock(8, 8) for _ in range(2))
        self.head = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))


CASES = {
    "cifar_resnet18": (
        lambda: cifar_resnet18(10, width=16),
        resnet([2, 2, 2, 2]),
        ("layer4", "fc"),
    ),
    "cifar_resnet34": (lambda: cifar_resnet34(10, width=16), resnet([3, 4, 6, 3]), ("layer4", "fc")),
    "cifar_resnet18_hidden": (
        lambda: cifar_resnet18(10, width=16, hidden=(512, 512)),
        resnet([2, 2, 2, 2]),
        ("layer4", "fc"),
    ),
    "cifar_vgg16": (
        lambda: cifar_vgg16(10),
        tuple(
            (f"features.{i}", f"features.{i + 1}") for i in (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40)
        ),
        ("features.40", "features.41", "classifier"),
    ),
    "torchvision_resnet18": (
        lambda: build("torchvision/resnet18", classes=2),
        resnet([2, 2, 2, 2]),
        ("layer4", "fc"),
    ),
    "mobilenet_v3_small": (
        lambda: build("torchvision/mobilenet_v3_small", classes=2),
        (("features.0",), *(f"features.{i}" for i in range(1, 12))),
        ("features.11", "features.12", "classifier"),
    ),
    "convnext_tiny": (
        lambda: build("torchvision/convnext_tiny", classes=2),
        (
            ("features.0",),
            *(f"features.1.{i}" for i in range(3)),
            ("features.2", "features.3.0"),
            *(f"features.3.{i}" for i in range(1, 3)),
            ("features.4", "features.5.0"),
            *(f"features.5.{i}" for i in range(1, 9)),
            ("features.6", "features.7.0"),
            *(f"features.7.{i}" for i in range(1, 3)),
        ),
        ("features.7", "classifier"),
    ),
    "vgg11_bn": (
        lambda: build("torchvision/vgg11_bn", classes=2),
        tuple((f"features.{i}", f"features.{i + 1}") for i in (0, 4, 8, 11, 15, 18, 22, 25)),
        ("features.25", "features.26", "classifier"),
    ),
    "vit_tiny": (
        lambda: build("timm/vit_tiny_patch16_224", classes=2),
        (("patch_embed",), *(f"blocks.{i}" for i in range(12))),
        ("blocks.11", "norm", "head"),
    ),
    "convnext_atto": (
        lambda: build("timm/convnext_atto", classes=2),
        (
            ("stem",),
            *(f"stages.0.blocks.{i}" for i in range(2)),
            ("stages.1.downsample", "stages.1.blocks.0"),
            "stages.1.blocks.1",
            ("stages.2.downsample", "stages.2.blocks.0"),
            *(f"stages.2.blocks.{i}" for i in range(1, 6)),
            ("stages.3.downsample", "stages.3.blocks.0"),
            "stages.3.blocks.1",
        ),
        ("stages.3", "head"),
    ),
    "efficientnet_b0": (
        lambda: build("timm/efficientnet_b0", classes=2),
        (("conv_stem", "bn1"), *in_stages("blocks.", [1, 2, 2, 3, 3, 4, 1])),
        ("blocks.6", "conv_head", "bn2", "classifier"),
    ),
    "bert": (
        bert,
        (("bert.embeddings",), *(f"bert.encoder.layer.{i}" for i in range(3))),
        ("bert.encoder.layer.2", "bert.pooler", "classifier"),
    ),
    "vdcnn9": (
        lambda: vdcnn9(2, shortcut=True),
        (("embedding", "stem"), *(f"levels.{i}" for i in range(4))),
        ("levels.3", "fc"),
    ),
    "text_transformer": (
        lambda: text_transformer(2),
        (("embedding",), *(f"blocks.{i}" for i in range(3))),
        ("blocks.2", "fc"),
    ),
    "mlp": (mlp, (("1", "2"), "4"), ("4", "5")),
    "wrapped": (Wrapped, (("net.1", "net.2"), "net.4"), ("net.4", "net.5")),
    "side_by_side": (SideBySide, (("stem",), "first", "second"), ("second", "head")),
    "one_hidden_layer": (lambda: nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)), (("0",),), ("0", "1")),
}


@pytest.fixture(params=CASES, scope="module")
def case(request):
    make, expected, last = CASES[request.param]
    with torch.device("meta"):  # only the structure matters
        return make(), expected, last


def flat(names):
    return [name for entry in names for name in ([entry] if isinstance(entry, str) else entry)]


def test_blocks(case):
    model, expected, _ = case
    assert blocks(model) == expected


def test_last_group(case):
    model, _, expected = case
    assert last_group(model) == expected


# where classifiers at inner layers go: the ends of groups but the last, three at most
CUTS = {
    "cifar_resnet18": ("layer1", "layer2", "layer3"),
    "cifar_vgg16": ("features.11", "features.21", "features.31"),
    "convnext_tiny": ("features.1", "features.3", "features.5"),
    "convnext_atto": ("stages.0", "stages.1", "stages.2"),
    "efficientnet_b0": ("blocks.1", "blocks.3", "blocks.5"),
    "vit_tiny": ("blocks.2", "blocks.5", "blocks.8"),
    "bert": ("bert.encoder.layer.0", "bert.encoder.layer.1"),
    "vdcnn9": ("levels.0", "levels.1", "levels.2"),
    "mlp": ("2",),
    "wrapped": ("net.2",),
    "side_by_side": ("first",),
}


@pytest.mark.parametrize("name", CUTS)
def test_first_groups(name):
    with torch.device("meta"):
        assert first_groups(CASES[name][0]()) == CUTS[name]


class Listed(nn.Module):
    """Groups that are mere lists, which a network goes through itself and never calls."""

    def __init__(self):
        super().__init__()
        self.stages = nn.ModuleList(
            nn.ModuleList(torchvision.models.resnet.BasicBlock(8, 8) for _ in range(2)) for _ in range(2)
        )
        self.head = nn.Linear(8, 2)


def test_groups_that_are_never_called_are_named_by_their_blocks():
    assert last_group(Listed()) == ("stages.1.0", "stages.1.1", "head")
    assert first_groups(Listed()) == ("stages.0.1",)


def test_names_are_modules_with_parameters_beside_each_other(case):
    model, _, _ = case
    for names in (flat(blocks(model)), last_group(model)):
        assert len(set(names)) == len(names)
        for name in names:
            assert any(True for _ in model.get_submodule(name).parameters())
            assert not any(name.startswith(f"{other}.") for other in names)


@pytest.mark.parametrize("model", [nn.Linear(4, 2), nn.ReLU(), nn.Sequential(nn.Flatten(), nn.Linear(4, 2))])
def test_nothing_but_a_head(model):
    for find in (blocks, last_group):
        with pytest.raises(ValueError, match=r"has no layers .* with layers=\[...\], .*sg.layers.suggest"):
            find(model)
    with pytest.raises(ValueError, match=r"has no inner layers .* with inner=\[...\], .*sg.layers.suggest"):
        first_groups(model)


def test_nothing_to_cut_between():
    with pytest.raises(ValueError, match=r"inner=\[...\]"):
        first_groups(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)))


class PlainLayers(nn.Module):
    """A list of layers that are no blocks, as a simple network of one's own holds them."""

    def __init__(self):
        super().__init__()
        self.inp = nn.Linear(4, 8)
        self.hidden = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
        self.out = nn.Linear(8, 2)

    def forward(self, x):
        x = self.inp(x)
        for layer in self.hidden:
            x = layer(x).relu()
        return self.out(x)


def test_a_list_of_plain_layers_is_its_members():
    found = last_group(PlainLayers())
    assert found == ("hidden.2", "out")
    assert blocks(PlainLayers()) == (("inp",), "hidden.0", "hidden.1", "hidden.2")
    x, y = torch.randn(4, 4), torch.tensor([0, 1, 0, 1])
    sg.recipes.cgl(PlainLayers(), students=2)(x, y, owner=[0, 1, 0, 1]).total.backward()
    sg.recipes.cl_ilr(PlainLayers())(x, y).total.backward()
