"""Averages of weights, against loops in double precision."""

import pytest
import torch
from torch import nn

import studygroup as sg


def make() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).double()


def rows(count: int = 200, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 6, generator=draw, dtype=torch.float64)
    return x, (x[:, :3] + torch.randn(count, 3, generator=draw, dtype=torch.float64)).argmax(1)


def from_one_start(seed: int) -> sg.CollaborativeLearning:
    """Four copies of one network, trained a little each on rows of its own."""
    torch.manual_seed(seed)
    group = sg.StudyGroup(make(), sg.routes.independent(students=4), init="copy")
    task = sg.CollaborativeLearning(group, [sg.objectives.Supervised()], rows=sg.Subsets())
    optimiser = torch.optim.SGD(task.parameters(), lr=0.5)
    for number in range(4):
        x, y = rows(64, seed=100 * seed + number)
        optimiser.zero_grad()
        task(x, y, owner=torch.arange(64) % 4).total.backward()
        optimiser.step()
    return task


def right(net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    return (net(x).argmax(1) == y).double().mean().item()


def test_a_uniform_soup_is_the_mean_of_all_weights():
    nets = [make() for _ in range(3)]
    soup = sg.uniform_soup(nets)
    for name, value in soup.state_dict().items():
        total = torch.zeros_like(value)
        for net in nets:
            total += net.state_dict()[name]
        torch.testing.assert_close(value, total / 3, rtol=1e-15, atol=0)
    assert not any(one is other for one in soup.parameters() for net in nets for other in net.parameters())
    same = sg.uniform_soup([nets[0].float()] * 3)
    assert all(torch.equal(v, nets[0].state_dict()[k]) for k, v in same.state_dict().items())


def test_a_greedy_soup_is_that_of_the_definition():
    sizes, gains = set(), []
    for seed in range(6):
        task, (x, y) = from_one_start(seed), rows(60)
        nets = [task.shipped.export(k) for k in range(4)]
        alone = [right(net, x, y) for net in nets]
        taken, best = [], 0.0
        for k in sorted(range(4), key=lambda k: (-alone[k], k)):  # Wortsman et al. 2022, recipe 1
            mixed = make()
            states = [nets[j].state_dict() for j in [*taken, k]]
            mixed.load_state_dict({key: sum(s[key] for s in states) / len(states) for key in states[0]})
            if right(mixed, x, y) >= best:
                taken, best = [*taken, k], right(mixed, x, y)
        soup = sg.greedy_soup(task, [(x[:25], y[:25]), (x[25:], y[25:])])
        assert soup.students == tuple(taken)
        assert soup.accuracy == pytest.approx(best)
        assert soup.best == pytest.approx(max(alone))
        assert right(soup.network, x, y) == pytest.approx(best)
        sizes.add(len(taken))
        gains.append(soup.accuracy - soup.best)
    assert min(gains) >= 0 < max(gains)
    assert len(sizes) > 1, "otherwise every choice was the same"


def test_batch_norms_are_refit_or_refused():
    torch.manual_seed(0)
    nets = [nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)) for _ in range(2)]
    x = torch.randn(32, 6) + 2
    for net in nets:
        net(x)
    with pytest.raises(ValueError, match=r"batch norm '1' keeps running statistics.*hand in refit="):
        sg.uniform_soup(nets)
    soup = sg.uniform_soup(nets, refit=lambda net: torch.optim.swa_utils.update_bn([x], net))
    torch.testing.assert_close(soup[1].running_mean, soup[0](x).mean(0))
    assert not soup.training
    before = nets[0].state_dict()
    torch.testing.assert_close(sg.uniform_soup(nets[:1]).state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("nets", "said"),
    [
        ([], "there are no networks"),
        ([make(), nn.Linear(6, 3)], "do not both have '0.bias'"),
        ([nn.Linear(6, 3), nn.Linear(6, 4)], r"has shape .* in network 0 and"),
    ],
)
def test_what_has_no_mean_is_refused(nets, said):
    with pytest.raises(ValueError, match=said):
        sg.uniform_soup(nets)


def test_rows_that_can_be_read_once_are_refused():
    with pytest.raises(ValueError, match="can be read once only"):
        sg.greedy_soup(from_one_start(0), iter([rows()]))
