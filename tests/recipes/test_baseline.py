import torch
import torch.nn.functional as F
from torch import nn

import studygroup as sg


def test_the_baseline_is_the_plain_network():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    task = sg.recipes.baseline(model)
    x, y = torch.randn(6, 4), torch.randint(3, (6,))
    losses = task(x, y)
    torch.testing.assert_close(losses.total, F.cross_entropy(model(x), y))
    losses.total.backward()
    F.cross_entropy(model(x), y).backward()
    for own, plain in zip(task.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(own.grad, plain.grad)
    assert task.group.students == 1
    assert list(task.group.export(0).state_dict()) == list(model.state_dict())
