"""When moving averages take the students' weights in, and what is kept of them."""

import copy

import pytest
import torch
from torch import nn

import studygroup as sg
from helpers.averages import CLASSES, Followed, batch, step, students, taught, trained, weights
from helpers.sharpness import SharpnessAware
from studygroup.objectives import Supervised
from studygroup.teachers import Averages


@pytest.mark.parametrize("decay", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("optimiser", [torch.optim.SGD, torch.optim.AdamW])
def test_averages_move_once_after_each_update(decay, optimiser):
    task = taught(decay)
    expected = Followed(task.group, decay)
    updates = optimiser(trained(task), lr=0.1)
    for number in range(4):
        step(task, updates, number)
        expected.take()
        expected.assert_is(task.shipped)
    assert task.shipped.updates == 4
    assert [
        torch.equal(a, b) for a, b in zip(task.shipped.parameters(), task.group.parameters(), strict=True)
    ] == [decay == 0.0] * len(list(task.group.parameters()))


def test_forward_passes_move_nothing():
    task = taught()
    before = weights(task.shipped)
    for _ in range(3):
        task(*batch())
    task.eval()(*batch())
    assert all(torch.equal(a, b) for a, b in zip(weights(task.shipped), before, strict=True))
    assert task.shipped.updates == 0


def test_accumulated_gradients_are_one_update():
    task = taught()
    expected = Followed(task.group, 0.6)
    optimiser = torch.optim.SGD(trained(task), lr=0.1)
    for _ in range(2):
        optimiser.zero_grad()
        for number in range(3):
            (task(*batch(number)).total / 3).backward()
        optimiser.step()
        expected.take()
    expected.assert_is(task.shipped)
    assert task.shipped.updates == 2


def test_closures_are_one_update_however_often_they_are_called():
    task = taught()
    expected = Followed(task.group, 0.6)
    optimiser = torch.optim.LBFGS(trained(task), lr=0.1, max_iter=4)
    calls = []

    def closure():
        optimiser.zero_grad()
        losses = task(*batch())
        losses.total.backward()
        calls.append(None)
        return losses.total

    for _ in range(2):
        optimiser.step(closure)
        expected.take()
    assert len(calls) > 4
    expected.assert_is(task.shipped)
    assert task.shipped.updates == 2


@pytest.mark.parametrize("by_hand", [True, False])
def test_two_passes_of_a_sharpness_aware_step_are_one_update(by_hand):
    """The weights that were climbed to are not averaged; the wrapper's step and its base's are one."""
    task = taught()
    expected = Followed(task.group, 0.6)
    optimiser = SharpnessAware(trained(task), torch.optim.SGD, lr=0.1)

    def closure():
        optimiser.zero_grad()
        task(*batch()).total.backward()

    for _ in range(3):
        closure()
        if by_hand:
            optimiser.climb()
            closure()
            optimiser.descend()
        else:
            optimiser.step(closure)
        expected.take()
    expected.assert_is(task.shipped)
    assert task.shipped.updates == 3


@pytest.mark.parametrize("options", [{}, {"fused": True}])
def test_a_step_that_the_gradient_scaler_skips_is_no_update(options):
    """With a fused optimiser the scaler leaves the skipping to its step."""
    task = taught().float()
    expected = Followed(task.group, 0.6)
    optimiser = torch.optim.Adam(trained(task), lr=0.1, **options)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    x, y = batch(dtype=torch.float32)
    for factor in (1.0, float("inf"), 1.0):
        optimiser.zero_grad()
        before = weights(task.group)
        scaler.scale(factor * task(x, y).total).backward()
        scaler.step(optimiser)
        scaler.update()
        moved = not all(torch.equal(a, b) for a, b in zip(weights(task.group), before, strict=True))
        assert moved == (factor == 1.0)
        if moved:
            expected.take()
        expected.assert_is(task.shipped, atol=1e-6, rtol=1e-6)
    assert task.shipped.updates == 2


def test_two_optimisers_are_one_update():
    """Averages move with that of the first parameter that is trained."""
    task = taught()
    first, *others = trained(task)
    both = [torch.optim.SGD([first], lr=0.1), torch.optim.SGD(others, lr=0.1)]
    expected = Followed(task.group, 0.6)
    for _ in range(2):
        task.zero_grad()
        task(*batch()).total.backward()
        for optimiser in reversed(both):
            optimiser.step()
        expected.take()
    assert task.shipped.updates == 2
    expected.assert_is(task.shipped)


def heads(task) -> torch.optim.Optimizer:
    return torch.optim.SGD([p for one in task.group.copies("2") for p in one.parameters()], lr=0.1)


def test_without_the_first_parameter_the_optimiser_that_steps_counts():
    """Heads alone are trained, and nothing is frozen; its first step is known to count at the second."""
    task = taught()
    optimiser, expected = heads(task), Followed(task.group, 0.6)
    for number in range(4):
        step(task, optimiser, number)
        expected.take()
        assert task.shipped.updates == (0 if number == 0 else number + 1)
    expected.assert_is(task.shipped)
    everything = torch.optim.SGD(task.parameters(), lr=0.1)  # a second phase, and a third
    for one in (everything, everything, optimiser, optimiser):
        step(task, one)
    assert task.shipped.updates == 4 + 3  # the first step of the third may have been half an update


def test_of_two_optimisers_without_the_first_parameter_the_first_counts():
    task = taught()
    each = [torch.optim.SGD(one.parameters(), lr=0.1) for one in task.group.copies("2")]
    expected = Followed(task.group, 0.6)
    for number in range(3):
        task.zero_grad()
        task(*batch(number)).total.backward()
        each[0].step()
        expected.take()
        each[1].step()
    assert task.shipped.updates == 3
    expected.assert_is(task.shipped)


def test_averages_of_updates_in_evaluation_mode_stay_when_training_begins():
    task = taught().eval()
    optimiser, expected = torch.optim.SGD(trained(task), lr=0.1), Followed(task.group, 0.6)
    for number in range(3):
        step(task, optimiser, number)
        expected.take()
    task.train()(*batch())
    expected.assert_is(task.shipped)


def test_an_optimiser_of_something_else_moves_nothing():
    task = taught()
    other = nn.Linear(4, 2)
    optimiser = torch.optim.SGD(other.parameters(), lr=0.1)
    other(torch.randn(2, 4)).sum().backward()
    optimiser.step()
    assert task.shipped.updates == 0


def test_frozen_parameters_do_not_lead():
    task = taught()
    task.group.model[0].requires_grad_(False)
    optimiser = torch.optim.SGD(trained(task), lr=0.1)
    expected = Followed(task.group, 0.6)
    step(task, optimiser)
    expected.take()
    assert task.shipped.updates == 1
    expected.assert_is(task.shipped)


def test_after_an_update_by_hand():
    """For optimisers that are not torch's."""
    task = taught()
    expected = Followed(task.group, 0.6)
    for _ in range(3):
        with torch.no_grad():
            for parameter in trained(task):
                parameter.add_(torch.randn_like(parameter))
        task.shipped.update()
        expected.take()
    expected.assert_is(task.shipped)
    assert task.shipped.updates == 3


@pytest.mark.parametrize("low", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("converted", [False, True])
def test_averages_of_half_precision_are_kept_in_single(low, converted):
    """A share of 1/1000 of what is new is less than half precision can add; converted before or after."""
    if converted:
        averages = Averages(group := students(dtype=torch.float32), decay=0.999)
        averages.to(low)
        group.to(low)
    else:
        averages = Averages(group := students(dtype=low), decay=0.999)
    with torch.no_grad():
        for parameter in group.parameters():
            parameter.add_(0.01)
    expected = Followed(group, 0.999)
    expected.mean, expected.taken = weights(averages), 2000
    averages.updates = 1999
    for _ in range(300):
        averages.update()
        expected.take()
    assert all(parameter.dtype == low for parameter in averages.parameters())
    precise = [mean.float().to(low).double() for mean in expected.mean]
    for found, one in zip(weights(averages), precise, strict=True):
        torch.testing.assert_close(found, one, atol=1e-5, rtol=0.0 if low == torch.bfloat16 else 1e-3)
    rounded = torch.tensor(0.25, dtype=low)
    assert rounded.lerp(rounded + 0.01, 1e-3) == rounded  # what would have been lost at every update
    again = Averages(other := students(dtype=low), decay=0.999)
    other.load_state_dict(group.state_dict())
    again.load_state_dict(averages.state_dict())
    for _ in range(100):  # they go on where they were, not from what was rounded
        averages.update()
        again.update()
    for kept, found in zip(again.state_dict().values(), averages.state_dict().values(), strict=True):
        assert torch.equal(kept, found)


def test_a_copy_has_averages_of_its_own_that_follow_the_copy():
    task = taught()
    step(task, torch.optim.SGD(trained(task), lr=0.1))
    other = copy.deepcopy(task)
    assert other.shipped is other.sources[0]
    assert other.shipped is other.teachers[0].of
    followed, stays = Followed(other.group, 0.6), weights(task.shipped)
    followed.mean, followed.taken = weights(other.shipped), 2
    step(other, torch.optim.SGD(trained(other), lr=0.3), 1)
    followed.take()
    followed.assert_is(other.shipped)
    assert all(torch.equal(a, b) for a, b in zip(weights(task.shipped), stays, strict=True))
    assert (task.shipped.updates, other.shipped.updates) == (1, 2)


def test_saved_and_loaded_averages_go_on_bit_for_bit():
    task = taught()
    optimiser = torch.optim.SGD(trained(task), lr=0.1)
    for number in range(3):
        step(task, optimiser, number)
    other = taught()
    other.load_state_dict(copy.deepcopy(task.state_dict()))
    assert other.shipped.updates == 3
    step(task, optimiser, 3)
    step(other, torch.optim.SGD(trained(other), lr=0.1), 3)
    for (name, a), b in zip(task.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_a_state_of_0_1_0_goes_on_as_it_would_have_there(steps):
    """There averages moved at the beginning of a step, and so lacked the last update when they were saved."""
    task = taught()
    optimiser = torch.optim.SGD(trained(task), lr=0.1)
    late = weights(task.shipped)
    for number in range(steps):
        late = weights(task.shipped)
        step(task, optimiser, number)
    state = copy.deepcopy(task.shipped.state_dict())
    state["_extra_state"] = {"steps": steps}
    for name, value in zip((n for n, _ in task.shipped.named_parameters()), late, strict=True):
        state[name] = value
    other = taught()
    other.group.load_state_dict(task.group.state_dict())
    other.shipped.load_state_dict(state)
    x, _ = batch()
    other.shipped.eval()(x)  # evaluation moves nothing
    assert all(torch.equal(a, b) for a, b in zip(weights(other.shipped), late, strict=True))
    for _ in range(2):  # in a step, once
        other.shipped.train()(x)
    assert other.shipped.updates == steps
    for found, expected in zip(weights(other.shipped), weights(task.shipped), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-15, rtol=1e-15)


def test_statistics_of_frozen_norms_that_were_loaded_late_are_taken_over():
    def build():
        return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)).double()

    task = taught(build=build).train()
    for norm in task.group.copies("1"):
        norm.running_mean.fill_(3.0)
        norm.eval()
    task(*batch())
    assert all((norm.running_mean == 3).all() for norm in task.shipped.copies("1"))


def test_statistics_of_norms_that_were_loaded_late_are_taken_over():
    """A short training would otherwise ship new weights with the statistics of the old ones."""
    task = taught(build=normed)
    loaded = task.group.state_dict()
    for name, value in loaded.items():
        if value.is_floating_point():
            loaded[name] = torch.randn_like(value) + 5
    loaded["model.1.num_batches_tracked"] = torch.tensor(100)
    task.group.load_state_dict(loaded)
    x, y = batch()
    task(x, y)
    (norm,) = task.shipped.copies("1")
    of_batch = task.group.model[0](x).mean(0)
    expected = 0.9 * loaded["model.1.running_mean"] + 0.1 * of_batch
    torch.testing.assert_close(norm.running_mean, expected)
    assert int(norm.num_batches_tracked) == 101
    for own, student in zip(weights(task.shipped), weights(task.group), strict=True):
        assert torch.equal(own, student)


def test_averages_that_are_made_while_an_optimiser_steps_take_that_step_in():
    group, made = taught().group, []
    optimiser = torch.optim.SGD(group.parameters(), lr=0.1)

    def closure() -> torch.Tensor:
        made.append(Averages(group, decay=0.6))
        loss = group(batch()[0]).logits.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    (averages,) = made
    assert averages.updates == 1


def test_what_is_asked_of_averages_alone_leaves_the_network_in_them_where_it_is():
    averages = taught().shipped
    before = [p.data_ptr() for p in averages.model.parameters()]
    averages.to_empty(device="cpu", recurse=False)
    assert [p.data_ptr() for p in averages.model.parameters()] == before
    averages.to_empty(device="cpu")
    assert all(p.data_ptr() != old for p, old in zip(averages.model.parameters(), before, strict=True))


def test_precise_averages_go_where_the_network_goes():
    averages = taught().shipped.to(torch.bfloat16)
    assert len(averages._buffers) == len(list(averages.model.parameters()))
    averages.to("meta")
    assert all(buffer.is_meta and buffer.dtype == torch.float32 for buffer in averages._buffers.values())


def normed() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, CLASSES))


@pytest.mark.parametrize("left_in", ["training", "evaluation"])
def test_statistics_that_are_taken_again_are_those_of_the_averages(left_in):
    """`update_bn` on averages, or on a copy of the task that was made before the first step: weights stay."""
    task = taught(build=normed)
    copied = torch.optim.swa_utils.AveragedModel(task)
    optimiser = torch.optim.SGD(trained(task), lr=0.5)
    for number in range(4):
        step(task, optimiser, number)
        copied.update_parameters(task)
    task.train(left_in == "training")
    copied.module.train(left_in == "training")
    for averages in (task.shipped, copied.module.shipped):
        before = weights(averages)
        torch.optim.swa_utils.update_bn([batch(number)[0] for number in range(3)], averages)
        assert all(map(torch.equal, before, weights(averages)))
        (norm,) = averages.copies("1")
        inner = torch.stack([averages.copies("0")[0](batch(number)[0]).mean(0) for number in range(3)])
        torch.testing.assert_close(norm.running_mean, inner.mean(0))
        assert int(norm.num_batches_tracked) == 3


def test_averages_that_teach_nobody_have_the_students_statistics():
    """They make no pass in training, and would ship those of the first step."""
    averages = Averages(group := students(build=normed), decay=0.6)
    task = sg.CollaborativeLearning(group, [Supervised()], exports=averages)
    optimiser, expected = torch.optim.SGD(trained(task), lr=0.1), Followed(group, 0.6)
    for number in range(3):
        step(task, optimiser, number)
        expected.take()
    expected.assert_is(averages)
    ((own,), (student,)) = averages.copies("1"), group.copies("1")
    assert torch.equal(own.running_mean, student.running_mean)
    assert torch.equal(own.running_var, student.running_var)
    assert int(own.num_batches_tracked) == 3
