"""Losses of torch and of one's own as criteria."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import studygroup as sg
from studygroup.objectives import CrossEntropy, as_criterion


class Focal(nn.Module):
    def forward(self, logits, y):
        log_p = logits.log_softmax(1).gather(1, y[:, None]).squeeze(1)
        return -((1 - log_p.exp()) ** 2) * log_p


class MeanFocal(Focal):
    def forward(self, logits, y):
        return super().forward(logits, y).mean()


def network():
    return nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 4)).double()


def losses(criterion, owner=None):
    torch.manual_seed(0)
    model = network()
    task = sg.recipes.dml(model, students=2, init=network).with_criterion(criterion)
    x, y = torch.randn(8, 5, dtype=torch.float64), torch.arange(8) % 4
    found = task(x, y, owner=owner)
    logits = task.group(x).logits
    return found, logits, y


@pytest.mark.parametrize(
    "loss",
    [
        nn.CrossEntropyLoss(),
        nn.CrossEntropyLoss(label_smoothing=0.2, ignore_index=1),
        nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 0.5, 3.0], dtype=torch.float64)),
        nn.MultiMarginLoss(reduction="none"),
        Focal(),
    ],
)
def test_a_loss_is_the_mean_that_torch_takes(loss):
    found, logits, y = losses(loss)
    expected = torch.stack([loss(one, y).mean() for one in logits])
    torch.testing.assert_close(found.supervised, expected.to(found.supervised))


def test_a_row_counts_for_its_owner_alone():
    owner = torch.tensor([0, 1, 0, 0, 1, 1, 1, 0])
    found, logits, y = losses(Focal(), owner)
    expected = torch.stack([Focal()(logits[k][owner == k], y[owner == k]).mean() for k in range(2)])
    torch.testing.assert_close(found.supervised, expected.to(found.supervised))


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (nn.MultiMarginLoss(), "give reduction='none'"),
        (nn.CrossEntropyLoss(reduction="sum"), "^CrossEntropyLoss has reduction='sum'"),
        (nn.NLLLoss(reduction="none"), "^NLLLoss does not take logits"),
        (nn.BCEWithLogitsLoss(weight=torch.ones(4)), "give pos_weight"),
        (F.cross_entropy, "a module that is called"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_losses_that_would_be_wrong_numbers_are_refused(loss, said):
    with pytest.raises(ValueError, match=said):
        as_criterion(loss)


def test_a_loss_that_takes_its_own_mean_is_refused():
    with pytest.raises(ValueError, match=r"shape \(\) for 8 rows"):
        losses(MeanFocal())


def test_a_criterion_stays_what_it_is():
    own = CrossEntropy(label_smoothing=0.1)
    assert as_criterion(own) is own
    assert type(as_criterion(nn.MSELoss())) is sg.objectives.SquaredError
    weight = torch.tensor([2.0, 1.0])
    assert torch.equal(as_criterion(nn.BCEWithLogitsLoss(pos_weight=weight)).pos_weight, weight)
