"""Schedulers of torch and timm as a run's rate."""

import pytest
import torch
from timm.scheduler import CosineLRScheduler
from torch.optim import lr_scheduler

from studygroup.training import TimmRate, TorchRate


def optimizer(lr=0.5):
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)


def rates(rate, steps, *, epochs=6, updates=4, stop=None):
    """The rate of every update; with `stop`, from a state that is saved after so many."""
    own = optimizer()
    schedule = rate.scheduler(own, epochs=epochs, updates=updates)
    found = []
    for step in range(steps):
        if step == stop:
            state = own.state_dict(), schedule.state_dict()
            own = optimizer()
            schedule = rate.scheduler(own, epochs=epochs, updates=updates)
            own.load_state_dict(state[0])
            schedule.load_state_dict(state[1])
        found.append(own.param_groups[0]["lr"])
        own.step()
        schedule.step()
    return found


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("PolynomialLR", {"total_iters": 6, "power": 2.0}),
        ("CosineAnnealingWarmRestarts", {"T_0": 2}),
        ("OneCycleLR", {"max_lr": 0.5, "total_steps": 24, "cycle_momentum": False}),
    ],
)
def test_a_scheduler_of_torch_counts_epochs_or_updates_and_resumes(name, options):
    for per, each in (("epoch", 4), ("update", 1)):
        plain = optimizer()
        theirs = getattr(lr_scheduler, name)(plain, **options)
        expected = []
        for step in range(20):
            expected.append(plain.param_groups[0]["lr"])
            plain.step()
            if (step + 1) % each == 0:
                theirs.step()
        rate = TorchRate(name, options, per=per)
        assert rates(rate, 20) == expected
        assert rates(rate, 20, stop=9) == expected


def test_a_scheduler_of_timm_is_updated_after_every_update_and_resumes():
    rate = TimmRate("cosine", {"warmup_epochs": 1, "warmup_lr": 0.01, "min_lr": 0.02})
    theirs = CosineLRScheduler(
        optimizer(), t_initial=24, lr_min=0.02, warmup_t=4, warmup_lr_init=0.01, t_in_epochs=False
    )
    found = rates(rate, 20)
    own = theirs.optimizer
    expected = []
    for step in range(20):
        expected.append(own.param_groups[0]["lr"])
        theirs.step_update(step + 1)
    assert found == pytest.approx(expected)
    assert max(found) > 0.4
    assert rates(rate, 20, stop=9) == found


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: TorchRate("StepLX"), "near: 'StepLR'"),
        (lambda: TorchRate("ReduceLROnPlateau"), "waits for a score"),
        (lambda: TorchRate("LambdaLR"), "that a name and options describe"),
        (lambda: TorchRate("StepLR").scheduler(optimizer(), epochs=1, updates=1), "refuses its options"),
        (lambda: TimmRate("plateau"), "name"),
        (lambda: TimmRate("cosine", {"num_epochs": 3}), "which the run gives"),
        (lambda: TimmRate("cosine", {"warmup": 3}), "refuses its options"),
        (lambda: TorchRate("StepLR", per="batch"), "per"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_schedulers_that_cannot_be_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()
