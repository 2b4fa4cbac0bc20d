import subprocess
import sys

import pytest
import timm.models
import torch
import torchvision.models

from studygroup.models import build, reads_text
from studygroup.models.build import _PICTURES
from studygroup.models.resnet import ResNet
from studygroup.models.transformer import TextTransformer
from studygroup.models.vdcnn import VDCNN


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("cifar_resnet18", ResNet),
        ("cifar_resnet32", ResNet),
        ("cifar_resnet110", ResNet),
        ("torchvision/mobilenet_v3_small", torchvision.models.MobileNetV3),
        ("mobilenet_v3_small", torchvision.models.MobileNetV3),
        ("timm/resnet10t", timm.models.ResNet),
        ("resnet10t", timm.models.ResNet),
        ("resnet18", torchvision.models.ResNet),  # timm has one too
        ("timm/resnet18", timm.models.ResNet),
        ("vdcnn9", VDCNN),
        ("text_transformer", TextTransformer),
    ],
)
def test_names_are_looked_up_in_order(name, kind):
    assert type(build(name, classes=7)) is kind


def test_classes_channels_and_options():
    net = build("timm/vit_tiny_patch16_224", classes=7, channels=1, img_size=32, patch_size=8, depth=1).eval()
    assert net(torch.randn(2, 1, 32, 32)).shape == (2, 7)
    assert build("cifar_resnet18", classes=5, channels=1, width=16).conv1.weight.shape == (16, 1, 3, 3)
    assert build("torchvision/resnet18", classes=5, width_per_group=64).fc.out_features == 5


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("cifar_resnet81", r" \(near: .*'cifar_resnet18'"),
        ("timm/resnet19", r" \(near: .*'timm/resnet18'"),
        ("resnt50", r" \(near: .*'resnet50'"),
        ("vdcnn29", r" \(near: 'vdcnn9'"),
        ("nothing like it", "; there are cifar_resnet18, .*, text_transformer, .*timm/vit_tiny_patch16_224"),
    ],
)
def test_unknown_names_are_told_with_near_ones(name, near):
    with pytest.raises(ValueError, match=f"there is no network '{name}'{near}"):
        build(name, classes=2)


@pytest.mark.parametrize("name", ["cifar_resnet18", "vdcnn9", "torchvision/resnet18"])
def test_an_option_that_a_network_does_not_take_is_named(name):
    sizes = {"vocabulary": 9, "padding": 0} if name == "vdcnn9" else {}
    with pytest.raises(ValueError, match=f"{name} has no option 'widht'"):
        build(name, classes=2, widht=8, **sizes)
    if name == "cifar_resnet18":
        with pytest.raises(ValueError, match=r"\(near: 'width'\)"):
            build(name, classes=2, widht=8)


@pytest.mark.parametrize(
    "name", ["timm/cifar_resnet18", "torchvision/resnet10t", "other/resnet18", "timm/vdcnn9"]
)
def test_a_library_is_taken_at_its_word(name):
    with pytest.raises(ValueError, match="there is no network"):
        build(name, classes=2)


def test_torchvision_takes_three_channels():
    with pytest.raises(ValueError, match="takes images of 3 channels, not 1; try 'timm/resnet18'"):
        build("torchvision/resnet18", classes=2, channels=1)


def test_networks_for_texts():
    net = build("vdcnn9", classes=5, vocabulary=30, padding=2, width=4, hidden=8)
    assert (net.embedding.num_embeddings, net.padding, net.fc[-1].out_features) == (30, 2, 5)
    net = build("text_transformer", classes=5, vocabulary=30, padding=2, length=9)
    assert net.embedding.tokens.weight.shape == (30, 512)
    assert (net.embedding.tokens.padding_idx, net.length, net.fc.out_features) == (2, 9, 5)
    assert build("vdcnn9", classes=2, width=2).embedding.num_embeddings == 69


def test_what_a_network_reads():
    texts = ("vdcnn9", "text_transformer", "huggingface/bert-base-uncased")
    pictures = ("cifar_vgg16", "resnet18", "torchvision/vgg11", "timm/vit_tiny_patch16_224", "nothing")
    assert [reads_text(name) for name in (*texts, *pictures)] == [True] * 3 + [False] * 5


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "cifar_vgg16",
            {"vocabulary": 9},
            "reads pictures and takes no vocabulary; networks for texts are vdcnn9, ",
        ),
        (
            "resnet18",
            {"vocabulary": 9, "padding": 0},
            "takes no vocabulary and no padding; .*huggingface/NAME",
        ),
        ("timm/resnet10t", {"padding": 0}, "reads pictures and takes no padding"),
        (
            "vdcnn9",
            {"channels": 3},
            "reads texts and takes no channels; networks for pictures are cifar_resnet18, ",
        ),
        ("text_transformer", {"channels": 3, "vocabulary": 9}, "takes no channels; .*torchvision/NAME"),
        ("huggingface/some/net", {"channels": 1}, "huggingface/some/net reads texts"),
        ("resnet19", {"vocabulary": 9}, "there is no network 'resnet19'"),
    ],
)
def test_options_of_the_other_kind(name, options, message):
    with pytest.raises(ValueError, match=message):
        build(name, classes=2, **options)


@pytest.mark.slow
def test_our_networks_need_torch_alone():
    code = (
        "import sys; sys.modules |= dict.fromkeys(('timm', 'torchvision', 'transformers', 'lightning', 'datasets'));"
        "from studygroup.models import build, cifar_resnet18;"
        "print(sum(p.numel() for p in cifar_resnet18(10).parameters()), type(build('vdcnn9', classes=2)).__name__);"
        "build('resnet18', classes=2)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert said.stdout.split() == ["11173962", "VDCNN"]
    assert "ValueError: network 'resnet18' needs a package more" in said.stderr
    assert "pip install 'studygroup[train]'" in said.stderr


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "out_channels must be divisible by groups",
            r"mlp cannot be built with channels=3, width=1\.5 \(out_",
        ),
        ("width is 1.5; give a whole number", r"^width is 1\.5; give a whole number$"),
    ],
)
def test_an_error_that_names_no_option_is_told_with_all(said, told, monkeypatch):
    """As torch's layers raise it; those of the library name the option."""

    def make(classes, **options):
        raise ValueError(said)

    monkeypatch.setitem(_PICTURES, "mlp", make)
    with pytest.raises(ValueError, match=told):
        build("mlp", classes=2, width=1.5)
