"""What a group refuses or warns of, by name."""

import warnings

import pytest
import torch
from torch import nn

import studygroup as sg
from helpers.networks import CASES, CLASSES
from studygroup.objectives import Capture


def test_a_head_left_shared_is_a_named_warning():
    group = sg.StudyGroup(CASES["mlp"].build(), sg.routes.branches(["4"], students=2))
    with pytest.warns(sg.SharedHeadWarning, match="'7'"):
        group(torch.randn(2, 3, 4, 4))


class Unreached(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.unused = nn.Linear(4, CLASSES), nn.Linear(4, 4)

    def forward(self, x):
        return self.used(x)


def test_a_layer_that_is_never_called_cannot_be_noted():
    group = sg.StudyGroup(Unreached(), sg.routes.branches(["used"], students=2))
    with pytest.raises(ValueError, match="layer 'unused' was not called"):
        group(torch.randn(2, 4), capture=Capture(activations=("unused",)))
    group.head = "unused"
    with pytest.raises(ValueError, match="layer 'unused' was not called"):
        group(torch.randn(2, 4), capture=Capture(features=True))


@pytest.mark.parametrize(
    ("build", "layers", "inputs", "message"),
    [
        (Unreached, ["unused"], torch.randn(2, 4), "never calls it"),
        (CASES["mlp"].build, ["7"], torch.zeros(0, 48), "rows along axis 0"),
        (CASES["mlp"].build, ["7"], {"labels": torch.zeros(2)}, "'labels'"),
        (lambda: nn.Sequential(nn.Linear(4, 4), nn.Flatten(0)), ["0"], torch.randn(2, 4), "logits"),
        (
            lambda: nn.Sequential(nn.Flatten(0, 1), nn.Linear(4, 4)),
            ["1"],
            torch.randn(3, 5, 4),
            r"layer '1' was given an input of shape \(10, 4\) while 2 rows are in flight; rows must lie along axis 0",
        ),
    ],
)
def test_what_cannot_work_is_a_clear_error(build, layers, inputs, message):
    group = sg.StudyGroup(build(), sg.routes.branches(layers, students=2))
    with pytest.raises(ValueError, match=message):
        group(inputs)


def test_work_in_place_on_what_others_read_is_an_error():
    build = lambda: nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5, inplace=True), nn.Linear(4, CLASSES))
    group = sg.StudyGroup(build(), sg.routes.hierarchical_dropout(["1"]))
    with pytest.raises(ValueError, match="in place"):
        group(torch.randn(3, 4))


def test_a_table_of_the_wrong_shape_or_without_rows_is_an_error():
    group = sg.StudyGroup(CASES["mlp"].build(), sg.routes.branches(["7"], students=2))
    x = torch.randn(3, 3, 4, 4)
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        group(x, sees=torch.ones(3, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match="nobody sees"):
        group(x, sees=torch.zeros(2, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match="students 0 to 1"):
        group.export(2)


def test_a_model_without_a_linear_layer_needs_a_named_head():
    build = lambda: nn.Sequential(nn.Conv2d(3, CLASSES, 4), nn.Flatten())
    group = sg.StudyGroup(build(), sg.routes.branches(["0"], students=2), init=build)
    x = torch.randn(2, 3, 4, 4)
    with pytest.raises(ValueError, match=r"head=\.\.\."):
        group(x, capture=Capture(features=True))
    named = sg.StudyGroup(build(), sg.routes.branches(["0"], students=2), init=build, head="0")
    assert named(x, capture=Capture(features=True)).features.shape == (2, 2, 3, 4, 4)


def test_warnings_are_not_raised_without_reason():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sg.StudyGroup(CASES["resnet"].build(), sg.routes.branches(["layer4", "fc"], students=2))(
            CASES["resnet"].inputs(2)
        )
