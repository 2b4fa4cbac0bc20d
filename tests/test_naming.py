import pytest
from torch import nn

from studygroup.naming import check_layers, did_you_mean


def test_what_looks_alike_is_told():
    assert did_you_mean("layer4.7", ["stem", "layer4.0", "layer4.1"]) == " (near: 'layer4.1', 'layer4.0')"
    assert did_you_mean("Sgd", ["Adam", "SGD", "sgd"]) == " (near: 'SGD', 'sgd')"
    assert did_you_mean("layer4.7", ["stem"]) == ""


def test_an_unknown_layer_is_named_with_its_model():
    model = nn.Sequential(nn.Linear(2, 2))
    check_layers(["0"], dict(model.named_modules()), of=model)
    with pytest.raises(
        ValueError, match=r"Sequential has no layer 'O'; names are those of model.named_modules"
    ):
        check_layers(["0", "O"], dict(model.named_modules()), of=model)
