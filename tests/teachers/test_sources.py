"""Moving averages and frozen networks, against loops written from their definitions."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import studygroup as sg
from studygroup.objectives import Imitation, Supervised
from studygroup.teachers import Averages, Frozen, MeanOfOthers, Self

CLASSES, ROWS, STUDENTS = 3, 8, 2


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, CLASSES))


def batch(number: int = 0, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(number)
    return torch.randn(ROWS, 4, generator=draw).to(dtype), torch.randint(CLASSES, (ROWS,), generator=draw)


def students(build=net, dtype: torch.dtype = torch.float64) -> sg.StudyGroup:
    torch.manual_seed(0)
    return sg.StudyGroup(build(), sg.routes.branches(["2"], students=STUDENTS), init=build).to(dtype)


def taught(decay: float = 0.6, **options) -> sg.CollaborativeLearning:
    """Students who imitate each other's averages, which ship."""
    averages = Averages(group := students(**options), decay=decay)
    imitation = Imitation(MeanOfOthers(of=averages))
    return sg.CollaborativeLearning(group, [Supervised(), imitation], exports=averages)


def trained(task: sg.CollaborativeLearning) -> list[nn.Parameter]:
    return [parameter for parameter in task.parameters() if parameter.requires_grad]


def weights(group: sg.Group) -> list[torch.Tensor]:
    return [parameter.detach().double().clone() for parameter in group.parameters()]


class Followed:
    """The definition as a loop: θ̄ ← φ θ̄ + (1−φ) θ, φ = min(1 − 1/g, decay), g the number of weights taken in."""

    def __init__(self, group: sg.Group, decay: float) -> None:
        self.group, self.decay, self.taken, self.mean = group, decay, 1, weights(group)

    def take(self) -> None:
        self.taken += 1
        keep = min(1 - 1 / self.taken, self.decay)
        self.mean = [
            keep * old + (1 - keep) * new for old, new in zip(self.mean, weights(self.group), strict=True)
        ]

    def assert_is(self, averages: sg.Group, **close) -> None:
        for found, expected in zip(weights(averages), self.mean, strict=True):
            torch.testing.assert_close(found, expected, **(close or {"atol": 1e-14, "rtol": 1e-12}))


def step(task: sg.CollaborativeLearning, optimiser: torch.optim.Optimizer, number: int = 0) -> None:
    optimiser.zero_grad()
    x, y = batch(number)
    task(x, y).total.backward()
    optimiser.step()


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


class SharpnessAware(torch.optim.Optimizer):
    """Foret et al. 2021: up the gradient by ρ, and from there the step of another optimiser, at the old place."""

    def __init__(self, parameters, base, *, rho: float = 0.05, **options) -> None:
        super().__init__(parameters, {"rho": rho, **options})
        self.base = base(self.param_groups, **options)

    @torch.no_grad()
    def climb(self) -> None:
        given = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.stack([p.grad.norm() for p in given]).norm()
        self.climbed = [(p, p.grad * self.param_groups[0]["rho"] / norm) for p in given]
        for parameter, away in self.climbed:
            parameter.add_(away)

    @torch.no_grad()
    def descend(self) -> None:
        for parameter, away in self.climbed:
            parameter.sub_(away)
        self.base.step()

    def step(self, closure):
        self.climb()
        with torch.enable_grad():
            closure()
        self.descend()


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
    again = Averages(students(dtype=low), decay=0.999)
    again.load_state_dict(averages.state_dict())
    for kept, found in zip(again.state_dict().values(), averages.state_dict().values(), strict=True):
        assert torch.equal(kept, found)
    for _ in range(2):  # they go on where they were, not from what was rounded
        averages.update()
        again.model.load_state_dict(averages.model.state_dict())
    assert torch.stack([a.double().sum() for a in averages.parameters()]).isfinite().all()


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


def test_averages_are_scored_and_shipped_as_networks_that_can_be_trained():
    task = taught()
    step(task, torch.optim.SGD(trained(task), lr=0.5))
    task.eval()
    x, _ = batch()
    logits = task.shipped(x).logits
    assert not logits.requires_grad
    assert not torch.allclose(logits, task.group(x).logits)
    for student in range(STUDENTS):
        network = task.shipped.export(student)
        assert torch.equal(network(x), logits[student])
        assert all(parameter.requires_grad for parameter in network.parameters())
        assert list(network.state_dict()) == list(net().state_dict())
        assert len(list(task.shipped.parameters_of(student))) == 4
    assert not any(parameter.requires_grad for parameter in task.shipped.parameters())
    with pytest.raises(ValueError, match="no student 2; the group has students 0 to 1"):
        task.shipped.export(2)


def kl(q: torch.Tensor, z: torch.Tensor, temperature: float) -> torch.Tensor:
    """Σ_n Σ_c q log(q / ψ(z; T)) over rows, as loops."""
    total = torch.zeros((), dtype=torch.float64)
    for n in range(len(z)):
        powers = [torch.exp(value / temperature) for value in z[n]]
        for c in range(CLASSES):
            total = total + q[n][c] * (torch.log(q[n][c]) - torch.log(powers[c] / sum(powers)))
    return total


def softened(z: torch.Tensor, temperature: float) -> torch.Tensor:
    return torch.stack(
        [torch.exp(row / temperature) / torch.exp(row / temperature).sum() for row in z]
    ).detach()


def assert_step_is(task, nets, total) -> None:
    """Loss and gradient of two branches over one trunk are those of two networks."""
    total.backward()
    losses = task(*batch())
    losses.total.backward()
    torch.testing.assert_close(losses.total, total)
    for student, network in enumerate(nets):
        torch.testing.assert_close(task.group.model[2].bank[student].weight.grad, network[2].weight.grad)
    both = sum(network[0].weight.grad for network in nets)
    torch.testing.assert_close(task.group.model[0].weight.grad, both)


def test_a_student_may_imitate_its_own_average():
    averages = Averages(group := students(), decay=0.9)
    imitation = Imitation(Self(of=averages), temperature=2.0, weight=0.5, scale_by_t2=True)
    task = sg.CollaborativeLearning(group, [Supervised(), imitation], exports=averages)
    step(task, torch.optim.SGD(trained(task), lr=0.5))
    task.zero_grad()
    x, y = batch()
    nets, means = ([g.export(k) for k in range(STUDENTS)] for g in (task.group, task.shipped))
    total = torch.zeros((), dtype=torch.float64)
    for network, mean in zip(nets, means, strict=True):
        z = network(x)
        soft = kl(softened(mean(x), 2.0), z, 2.0) / ROWS
        assert soft > 1e-4
        total = total + F.cross_entropy(z, y) + 0.5 * 4 * soft
    assert_step_is(task, nets, total)


def test_students_listen_to_the_averages_of_others_on_rows_of_their_own():
    """Each on the rows that it owns; every average answers where it is asked."""
    task = taught()
    step(task, torch.optim.SGD(trained(task), lr=0.5))
    task.zero_grad()
    x, y = batch()
    owner = [0, 1, 1, 0, 0, 0, 1, 0]
    asked = []
    task.shipped.register_forward_hook(lambda module, given, out: asked.append(out.sees))
    losses = task(x, y, owner=owner)
    assert torch.equal(asked[0], torch.tensor([[k != o for o in owner] for k in range(STUDENTS)]))
    for k in range(STUDENTS):
        own = [n for n in range(ROWS) if owner[n] == k]
        mean, z = task.shipped.export(1 - k)(x[own]), task.group.export(k)(x[own])
        torch.testing.assert_close(losses.supervised[k], F.cross_entropy(z, y[own]))
        torch.testing.assert_close(losses.imitation[k], kl(softened(mean, 1.0), z, 1.0) / len(own))


def test_averages_of_students_of_different_architectures():
    wide = nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, CLASSES))
    averages = Averages(group := sg.Peers([net(), wide]).double(), decay=0.5)
    task = sg.CollaborativeLearning(group, [Supervised(), Imitation(MeanOfOthers(of=averages))])
    expected = Followed(group, 0.5)
    step(task, torch.optim.SGD(trained(task), lr=0.1))
    expected.take()
    expected.assert_is(averages)
    assert task.shipped is group


def test_a_number_that_is_no_decay():
    for wrong in (-0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match=rf"decay {wrong}; .* use a number in \[0, 1\]"):
            Averages(students(), decay=wrong)


def teacher_net() -> nn.Module:
    """Of another width, with a norm and a dropout that would tell the training mode."""
    torch.manual_seed(3)
    made = nn.Sequential(
        nn.Linear(4, 10), nn.BatchNorm1d(10), nn.ReLU(), nn.Dropout(0.5), nn.Linear(10, CLASSES)
    ).double()
    for number in range(5):
        made(3 * batch(number)[0] + 1)
    return made


def test_a_frozen_network_teaches_all_students():
    """Hinton et al. 2015: CE + T² KL(ψ(teacher; T) ‖ ψ(student; T)), the teacher in evaluation."""
    given = teacher_net()
    imitation = Imitation(Frozen(given), temperature=2.0, weight=0.7, scale_by_t2=True)
    task = sg.CollaborativeLearning(students(), [Supervised(), imitation]).train()
    assert given.training
    before = copy.deepcopy(given.state_dict())
    x, y = batch()
    nets = [task.group.export(k) for k in range(STUDENTS)]
    q = softened(copy.deepcopy(given).eval()(x), 2.0)
    total = torch.zeros((), dtype=torch.float64)
    for network in nets:
        z = network(x)
        total = total + F.cross_entropy(z, y) + 0.7 * 4 * kl(q, z, 2.0) / ROWS
    assert_step_is(task, nets, total)
    (source,) = task.sources
    for mode in (True, False, True):
        task.train(mode)
        assert not any(module.training for module in source.modules())
    optimiser = torch.optim.SGD(task.parameters(), lr=0.5, weight_decay=0.1)
    step(task, optimiser)
    kept = {name: value for name, value in source.state_dict().items() if "_extra" not in name}
    for value, old in zip(kept.values(), before.values(), strict=True):
        assert torch.equal(value, old)
    assert all(torch.equal(given.state_dict()[name], old) for name, old in before.items())
    assert all(parameter.requires_grad for parameter in given.parameters())
    assert task.shipped is task.group


def test_a_frozen_network_answers_on_rows_that_have_owners():
    task = sg.CollaborativeLearning(students(), [Supervised(), Imitation(Frozen(given := teacher_net()))])
    x, y = batch()
    owner = [0, 1, 1, 0, 0, 0, 1, 0]
    losses = task(x, y, owner=owner)
    answers = copy.deepcopy(given).eval()(x)
    for k in range(STUDENTS):
        own = [n for n in range(ROWS) if owner[n] == k]
        z = task.group.export(k)(x[own])
        torch.testing.assert_close(losses.imitation[k], kl(softened(answers[own], 1.0), z, 1.0) / len(own))
