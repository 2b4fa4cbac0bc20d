import torch
from torch import nn

from studygroup.analysis.cost import Step, allocated, parameters, saved_bytes, training_cost


def test_saved_bytes_count_each_storage_once():
    x = torch.zeros(10, 4, requires_grad=True)

    def forward():
        y = x.exp()  # keeps its result, 160 bytes
        return (y * y.view(4, 10).view(10, 4)).sum()  # keeps y twice: the same storage

    assert saved_bytes(forward) == 160


def test_saved_bytes_leave_out_weights():
    net, x = nn.Linear(4, 3), torch.zeros(10, 4, requires_grad=True)
    assert saved_bytes(lambda: net(x).sum(), ignore=net) == 160
    assert saved_bytes(lambda: net(x).sum()) == 160 + 4 * 3 * 4


def test_cost_of_twice_the_same_network(monkeypatch):
    torch.manual_seed(0)
    x, net = torch.randn(64, 32), nn.Linear(32, 32)
    double = nn.ModuleList([nn.Linear(32, 32), nn.Linear(32, 32)])
    steps = [
        Step(
            task,
            torch.optim.SGD(task.parameters(), lr=0.1),
            lambda use=use: [sum(m(x).pow(2).sum() for m in use)],
        )
        for task, use in ((double, list(double)), (net, [net]))
    ]
    clock = iter([3.0, 1.0, 8.0, 2.0, 5.0, 1.0])  # method and baseline in turn
    monkeypatch.setattr("studygroup.analysis.cost._timed", lambda step: step.take() or next(clock))
    cost = training_cost(*steps, images=64, repeats=3)
    assert (cost.parameters, cost.baseline_parameters) == (2 * 1056, 1056)
    assert (cost.ratio, cost.spread, cost.seconds, cost.baseline_seconds) == (4.0, (3.0, 5.0), 5.0, 1.0)
    assert cost.bytes == 2 * cost.baseline_bytes - x.numel() * 4  # the input is kept once
    assert parameters(net) == 1056


CPU = torch.device("cpu")
MEGABYTE = 2**20


def test_the_most_at_once_and_what_is_left():
    def step():
        first = torch.empty(3 * MEGABYTE, dtype=torch.uint8)
        del first
        second = torch.empty(2 * MEGABYTE, dtype=torch.uint8)
        third = torch.empty(2 * MEGABYTE, dtype=torch.uint8)
        del second
        return third

    found = allocated(step, CPU)
    assert found.peak == 4 * MEGABYTE
    assert found.left == 2 * MEGABYTE


def test_a_forward_pass_leaves_what_the_backward_pass_needs():
    weight = torch.ones(MEGABYTE, requires_grad=True)
    found = allocated(lambda: weight.exp().sum(), CPU)  # the result of exp is kept: 4 bytes a number
    assert 4 * MEGABYTE <= found.left < 4.01 * MEGABYTE
    loss = weight.exp().sum()
    assert allocated(loss.backward, CPU).left < 4.01 * MEGABYTE  # the gradient
