"""An input that the network itself cannot take is named beside the network's own error."""

import pytest
import torch
from torch import nn

import studygroup as sg


def net():
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))


def branched(model=net):
    return sg.StudyGroup(model(), sg.routes.branches(["2"], students=2), init=model)


X = torch.zeros(5, 6)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            X.double(),
            r"\(x: torch.float64 of shape \(rows, 6\) on cpu\): RuntimeError: .* hand in x.to\(torch.float32\)",
        ),
        (X.half(), r"x: torch.float16 .* hand in x.to\(torch.float32\)"),
        (X.long(), r"x: torch.int64 .* hand in x.to\(torch.float32\)"),
        (X.to(torch.complex64), r"x: torch.complex64 .* hand in x.to\(torch.float32\)"),
        (X[:, :5], r"of shape \(rows, 5\) .* hand in rows of the shape that it was built for"),
        (X.to("meta"), r"on meta\): .*parameters are on cpu: hand in x.to\('cpu'\)"),
        (torch.zeros(5), r"of shape \(rows\) on cpu"),
    ],
)
@pytest.mark.parametrize("make", [branched, lambda: sg.Peers([net(), net()])])
def test_the_input_is_named_before_the_networks_own_error(x, message, make):
    with pytest.raises(ValueError, match=f"^the network cannot take the input .*{message}") as raised:
        make()(x)
    assert isinstance(raised.value.__cause__, RuntimeError)


def test_inputs_in_a_mapping_are_named_each():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Embedding(9, 6), nn.Linear(6, 4)

        def forward(self, ids, scale):
            return self.head(self.embed(ids).mean(1) * scale)

    group = sg.StudyGroup(Net(), sg.routes.branches(["head"], students=2), init=Net)
    with pytest.raises(
        ValueError, match=r"\(ids: torch.float32 of shape \(rows, 3\) on cpu, scale: .* ids where it"
    ):
        group({"ids": torch.zeros(4, 3), "scale": torch.ones(4, 1, dtype=torch.float64)})
    assert group({"ids": torch.zeros(4, 3).long(), "scale": torch.ones(4, 1)}).logits.shape == (2, 4, 4)


def test_a_device_without_memory_says_so_itself():
    class Full(nn.Linear):
        def forward(self, x):
            raise torch.OutOfMemoryError("no memory")

    group = branched(lambda: nn.Sequential(Full(6, 8), nn.ReLU(), nn.Linear(8, 4)))
    with pytest.raises(torch.OutOfMemoryError, match=r"^no memory$"):
        group(X)


def test_another_sort_of_input_later_is_named_too():
    group = branched()
    group(X)
    with pytest.raises(ValueError, match=r"cannot take the input .*\(rows, 7\)"):
        group(torch.zeros(5, 7))


def test_an_input_without_rows_is_told_by_its_whole_shape():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(6, 4)

        def forward(self, x, scale):
            return self.head(x) * scale

    group = sg.StudyGroup(Net(), sg.routes.branches(["head"], students=2), init=Net)
    with pytest.raises(ValueError, match=r"scale: torch.float32 of shape \(7, 2\) on cpu"):
        group({"x": torch.zeros(4, 6), "scale": torch.ones(7, 2)})
