import math

import pytest
import torch

from studygroup.training import Constant, Cosine, MultiStep, OneCycle, Settings


def test_constant_never_changes():
    assert [Constant().factor(epoch, 10) for epoch in (0, 5.5, 10)] == [1, 1, 1]


def test_multi_step_halves_at_the_papers_milestones():
    rate = MultiStep(multiply=0.5, milestones=(60, 120, 160))
    epochs = (0, 59.99, 60, 119.99, 120, 160, 199)
    assert [rate.factor(epoch, 200) for epoch in epochs] == [1, 1, 0.5, 0.5, 0.25, 0.125, 0.125]


def test_cosine_falls_to_its_floor_after_the_warm_up():
    rate = Cosine(floor=0.1, warmup=2)
    assert [rate.factor(epoch, 10) for epoch in (0, 1, 2)] == [0, 0.5, 1]
    assert rate.factor(6, 10) == pytest.approx(0.55)
    assert rate.factor(10, 10) == pytest.approx(0.1)


def test_a_warm_up_that_leaves_no_epoch_is_refused_before_anything_is_trained():
    said = "warmup is 3 of 3 epochs, and nothing is left to fall; give fewer"
    with pytest.raises(ValueError, match=said):
        Cosine(warmup=3).check(3)
    with pytest.raises(ValueError, match=said):
        Settings(rate=Cosine(warmup=3), epochs=3).check_here()
    Settings(rate=Cosine(warmup=2.5), epochs=3).check_here()


def test_one_cycle_is_torchs_schedule():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.04)
    torchs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.0, total_steps=101, pct_start=0.3, cycle_momentum=False
    )
    rate = OneCycle(rise=0.3, start=0.04, end=4e-6)
    for update in range(100):
        # torch rises for pct_start * total_steps - 1 steps; ours for the same share of the updates
        share = update / 29.3 * 0.3 if update <= 29.3 else 0.3 + 0.7 * (update - 29.3) / (100 - 29.3)
        assert rate.factor(share, 1) == pytest.approx(torchs.get_last_lr()[0], abs=1e-6)
        optimizer.step()
        torchs.step()


def test_scheduler_multiplies_the_optimisers_rate_update_by_update():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
    scheduler = Cosine().scheduler(optimizer, epochs=2, updates=4)
    seen = []
    for _ in range(8):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert seen == pytest.approx([0.2 * (1 + math.cos(math.pi * update / 8)) / 2 for update in range(8)])
