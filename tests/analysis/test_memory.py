import torch

from studygroup.analysis.memory import allocated

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
