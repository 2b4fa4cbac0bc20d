"""What is suggested for the networks that everything must hold for, and what of it can part."""

import pytest
import torch
import torchvision.models
from torch import nn

import studygroup as sg
from helpers.networks import CASES, OURS
from studygroup.layers import cannot_part, suggest

ALL = CASES | OURS
BRANCHES = {
    "resnet": ("layer4", "fc"),
    "mobilenet": ("features.11", "features.12", "classifier"),
    "timm_resnet": ("layer4", "fc"),
    "timm_vit": ("blocks.5", "norm", "head"),
    "timm_convnext": ("stages.3", "head"),
    "timm_efficientnet": ("blocks.4", "conv_head", "bn2", "classifier"),
    "bert": ("bert.encoder.layer.2", "bert.pooler", "classifier"),
    "mlp": ("4", "7"),
    "vdcnn": ("levels.3", "fc"),
    "transformer": ("blocks.2", "fc"),
}
INNER = {
    "resnet": ("layer1", "layer2", "layer3"),
    "mobilenet": ("features.3", "features.6", "features.9"),
    "timm_resnet": ("layer1", "layer2", "layer3"),
    "timm_vit": ("blocks.1", "blocks.2", "blocks.4"),
    "timm_convnext": ("stages.0", "stages.1", "stages.2"),
    "timm_efficientnet": ("blocks.1", "blocks.2", "blocks.3"),
    "bert": ("bert.encoder.layer.0", "bert.encoder.layer.1"),
    "mlp": ("1",),
    "vdcnn": ("levels.0", "levels.1", "levels.2"),
    "transformer": ("blocks.0", "blocks.1"),
}
GOES_AROUND = {  # of a block, what its residual connection passes by
    "resnet": [f"layer1.0.{name}" for name in ("conv1", "bn1", "conv2", "bn2")],
    "timm_vit": [f"blocks.0.{name}" for name in ("norm1", "attn", "norm2", "mlp")],
    "bert": [f"bert.encoder.layer.0.{name}" for name in ("intermediate", "output")],
    "mlp": [],
}
VIEWS = {"resnet": (), "timm_vit": (), "bert": ("dropout",), "mlp": ("3", "6")}


@pytest.mark.parametrize("name", ALL)
def test_names_without_an_example(name):
    found = suggest(ALL[name].build())
    assert found.branch == BRANCHES[name]
    assert found.inner == INNER[name]
    assert found.blocks == sg.layers.blocks(ALL[name].build())
    assert (found.checked, found.local, dict(found.cannot_part)) == (False, (), {})
    assert all(row.size is None for row in found.rows)


@pytest.fixture(params=GOES_AROUND, scope="module")
def tried(request):
    case = CASES[request.param]
    net = case.build().train()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    state = torch.get_rng_state()
    found = suggest(net, case.inputs(4))
    assert torch.equal(torch.get_rng_state(), state)
    assert net.training
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    return request.param, net, found


@pytest.mark.slow
def test_what_a_residual_connection_goes_around_cannot_part(tried):
    name, _, found = tried
    for inner in GOES_AROUND[name]:
        assert found.cannot_part[inner] == "a tensor goes around it, as in a residual connection"
    whole = {one for layer in found.blocks for one in ([layer] if isinstance(layer, str) else layer)}
    assert not (whole | set(found.branch)) & set(found.cannot_part)
    assert found.dropouts == VIEWS[name]


def test_rows_add_up_to_the_network_and_say_sizes(tried):
    name, net, found = tried
    assert sum(row.parameters for row in found.rows if not row.depth) <= found.parameters
    assert found.parameters == sum(parameter.numel() for parameter in net.parameters())
    sizes = {one: row.size for row in found.rows for one in row.names}
    head = {"resnet": "fc", "timm_vit": "head", "bert": "classifier", "mlp": "7"}[name]
    assert sizes[head] == (7,)
    if name == "resnet":
        assert [sizes[f"layer{group}"] for group in (1, 2, 3, 4)] == [
            (16, 8, 8),
            (32, 4, 4),
            (64, 2, 2),
            (128, 1, 1),
        ]
        assert sum(row.parameters for row in found.rows if not row.depth) == found.parameters


def test_the_table_of_a_resnet18_fits_a_screen():
    found = suggest(torchvision.models.resnet18(num_classes=10), torch.randn(2, 3, 32, 32))
    lines = str(found).splitlines()
    assert len(lines) <= 40
    assert repr(found) == str(found)
    assert lines[0] == "ResNet, 11,181,642 parameters"
    columns = lines[2]
    block = next(line for line in lines if line.startswith("  layer1.0 "))
    assert block.split() == ["layer1.0", "BasicBlock", "73,984", "64", "x", "8", "x", "8", "cgl"]
    assert block.index("73,984") + len("73,984") == columns.index("parameters") + len("parameters")
    assert block.index("64 x") == columns.index("output")
    assert any(
        line.endswith("cannot part: a tensor goes around it, as in a residual connection") for line in lines
    )
    assert "layers of cl_ilr, okddip, one, pcl: ['layer4', 'fc']" in lines
    assert len(found.local) == 17
    assert found.local[:2] == ("conv1", "layer1.0.conv1")


def test_repeated_blocks_share_a_row():
    with torch.device("meta"):
        found = suggest(torchvision.models.vit_b_16())
    (others,) = [row for row in found.rows if len(row.names) > 1]
    assert others.names == tuple(f"encoder.layers.encoder_layer_{i}" for i in range(1, 12))
    assert others.parameters == 11 * 7_087_872
    use = [line for line in str(found).splitlines() if others.label in line]
    assert use[0].split("  ")[-1] == (
        "cgl, branch (encoder.layers.encoder_layer_11), inner (encoder.layers.encoder_layer_2, "
        "encoder.layers.encoder_layer_5, encoder.layers.encoder_layer_8)"
    )


def test_blocks_stand_for_convolutions_where_a_network_has_none():
    assert suggest(CASES["mlp"].build(), CASES["mlp"].inputs(2)).local == ("1", "4")
    vit = suggest(CASES["timm_vit"].build(), CASES["timm_vit"].inputs(2))
    assert vit.local == tuple(f"blocks.{i}" for i in range(6))


def test_nothing_to_suggest_is_said_and_no_error():
    found = suggest(nn.Linear(3, 2), torch.randn(2, 3))
    assert (found.blocks, found.branch, found.inner, found.local, found.dropouts) == ((),) * 5
    assert "layers of cgl: none found" in str(found)


class Around(nn.Module):
    """Two layers, one of which is never called and one inside a residual connection."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.idle = (nn.Linear(4, 4) for _ in range(3))

    def forward(self, x):
        return x + self.second(self.first(x))


def test_why_students_cannot_part():
    x = torch.randn(3, 4)
    assert cannot_part(Around(), ["first"], x) == "a tensor goes around it, as in a residual connection"
    assert "never calls it" in cannot_part(Around(), ["idle"], x)
    assert cannot_part(Around(), [""], x) == ""
    assert cannot_part(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)), ["0"], x) == ""


@pytest.mark.filterwarnings("ignore::studygroup.EqualPathsWarning")  # the perceptron has few layers
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cgl", {}),
        ("cl_ilr", {}),
        ("one", {"example": True}),
        ("okddip", {"example": True}),
        ("pcl", {"example": True}),
    ],
)
def test_recipes_part_by_it_where_no_layers_are_named(name, options):
    case = CASES["mlp"]
    options = {key: case.inputs(2) for key in options} | {"init": case.build}
    found = suggest(case.build())
    recipe = getattr(sg.recipes, name)
    layers = found.blocks if name == "cgl" else found.branch
    assert (
        recipe(case.build(), **options).group.routes
        == recipe(case.build(), layers=layers, **options).group.routes
    )


@pytest.mark.parametrize("name", ["auxiliary_training", "byot"])
def test_recipes_classify_inner_layers_by_it_where_none_are_named(name):
    case = CASES["resnet"]
    task = getattr(sg.recipes, name)(case.build(), example=case.inputs(2))
    assert task.objectives[1].layers == ("layer1", "layer2", "layer3")


@pytest.mark.parametrize("name", ["cgl", "cl_ilr", "one", "okddip", "pcl"])
def test_a_network_with_nothing_to_suggest_has_its_layers_named(name):
    options = {"example": torch.randn(2, 3)} if name in ("one", "okddip", "pcl") else {}
    with pytest.raises(
        ValueError, match=r"Linear has no layers .* layers=\[\.\.\.\], .*sg\.layers\.suggest\(model\)"
    ):
        getattr(sg.recipes, name)(nn.Linear(3, 2), **options)


@pytest.mark.parametrize("name", ["auxiliary_training", "byot"])
def test_a_network_with_nothing_to_suggest_has_its_inner_layers_named(name):
    with pytest.raises(ValueError, match=r"inner=\[\.\.\.\], .*sg\.layers\.suggest\(model\)"):
        getattr(sg.recipes, name)(nn.Linear(3, 2), example=torch.randn(2, 3))
