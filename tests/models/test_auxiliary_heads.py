"""Networks of torchvision with auxiliary heads: refused with them, and right without."""

import pytest
import torch
import torchvision
from torch import nn

import studygroup as sg

CLASSES = 3


def inception(*, aux: bool) -> nn.Module:
    return torchvision.models.inception_v3(
        num_classes=CLASSES, aux_logits=aux, init_weights=False, transform_input=True
    )


def googlenet(*, aux: bool) -> nn.Module:
    return torchvision.models.googlenet(num_classes=CLASSES, aux_logits=aux, init_weights=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "size", "least", "layers", "name"),
    [
        (googlenet, 32, 64, ["inception5b", "fc"], "aux_logits2"),
        (inception, 75, 299, ["Mixed_7c", "fc"], "aux_logits"),
    ],
)
def test_auxiliary_heads_are_refused_and_networks_without_them_are_right(build, size, least, layers, name):
    x, routes = torch.rand(2, 3, size, size), sg.routes.branches(layers, students=2)
    torch.manual_seed(0)
    net = build(aux=True)
    group = sg.StudyGroup(net, routes, init="copy").train()
    with pytest.raises(ValueError, match=rf"returned '{name}' beside its logits.*aux_logits=False"):
        group(torch.rand(2, 3, least, least))
    net = build(aux=False)
    group = sg.StudyGroup(net, routes, init="copy")
    with torch.no_grad():
        group.copies("fc")[1].weight.mul_(2)
    group.train()
    for module in group.modules():
        if isinstance(module, nn.BatchNorm2d | nn.Dropout):
            module.eval()  # what mixes rows and draws
    logits = group(x).logits
    logits.square().sum().backward()
    for student, head in enumerate(group.copies("fc")):
        alone = group.export(student).train()
        for module in alone.modules():
            if isinstance(module, nn.BatchNorm2d | nn.Dropout):
                module.eval()
        own = alone(x)
        torch.testing.assert_close(logits[student], own)
        own.square().sum().backward()
        torch.testing.assert_close(head.weight.grad, alone.fc.weight.grad)
