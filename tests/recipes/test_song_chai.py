"""Multi-instance, tree and CL-ILR against loops in float64, written from Song and Chai 2018."""

import pytest
import torch

import studygroup as sg
from helpers.loops import (
    ROWS,
    STUDENTS,
    answers,
    assert_all_learn,
    assert_equal_gradients,
    assert_own_parameters,
    batch,
    build,
    constant,
    cross_entropy,
    hard,
    log_psi,
    networks,
)


def loop(z, heads: int = STUDENTS) -> torch.Tensor:
    """L = Σ_h [0.5 J_hard + 0.5 J_soft], T = 2."""
    total = 0
    for h in range(heads):
        soft = 0
        for n in range(ROWS):
            mean = sum(z[j][n] for j in range(heads) if j != h) / (heads - 1)
            soft = soft + cross_entropy(constant(log_psi(mean, 2.0)), log_psi(z[h][n], 2.0)) / ROWS
        total = total + 0.5 * hard(z[h]) + 0.5 * soft
    return total


def test_multi_instance():
    torch.manual_seed(0)
    task = sg.recipes.multi_instance(build()).double()
    x, y = batch()
    nets = networks(task)
    expected = loop(answers(nets, x))
    expected.backward()
    losses = task(x, y)
    losses.total.backward()
    torch.testing.assert_close(losses.total, expected)
    assert_equal_gradients(task, nets, ("",))
    assert_all_learn(task)


@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_cl_ilr(rescale, reduction):
    torch.manual_seed(0)
    task = sg.recipes.cl_ilr(
        build(), layers=("2", "4"), rescale_gradients=rescale, reduction=reduction
    ).double()
    x, y = batch()
    nets = networks(task)
    expected = loop(answers(nets, x)) / (STUDENTS if reduction == "mean" else 1)
    expected.backward()
    losses = task(x, y)
    losses.total.backward()
    torch.testing.assert_close(losses.total, expected)
    assert_equal_gradients(task, nets, ("2", "4"), trunk=1 / STUDENTS if rescale else 1.0)
    assert_all_learn(task)
    assert_own_parameters(task, ("2", "4"))


@pytest.mark.filterwarnings("ignore::studygroup.EqualStudentsWarning")
def test_by_default_equal_heads_learn_as_a_plain_network():
    """Heads that agree teach nothing new: what is shared then gets the gradient of one plain network."""
    task = sg.recipes.cl_ilr(build(), layers=("2", "4"), alpha=1.0, init="copy").double()
    plain = task.group.export(0)
    x, y = batch()
    task(x, y).total.backward()
    torch.nn.functional.cross_entropy(plain(x), y).backward()
    torch.testing.assert_close(task.group.model[0].weight.grad, plain[0].weight.grad)
    torch.testing.assert_close(task.group.model[4].bank[2].weight.grad, plain[4].weight.grad)


def test_tree():
    torch.manual_seed(0)
    table = {"0": [0, 0, 1, 1], "2": [0, 1, 2, 3], "4": [0, 1, 2, 3]}
    task = sg.recipes.tree(build(), table=table).double()
    x, y = batch()
    nets = networks(task)
    expected = loop(answers(nets, x), heads=4)
    expected.backward()
    losses = task(x, y)
    losses.total.backward()
    torch.testing.assert_close(losses.total, expected)
    for module in range(2):  # two heads part from each module of the lower layer
        own = task.group.model[0].bank[module].weight.grad
        both = sum(nets[h][0].weight.grad for h in (2 * module, 2 * module + 1))
        torch.testing.assert_close(own, both / 2)
    for h in range(4):
        torch.testing.assert_close(task.group.model[4].bank[h].weight.grad, nets[h][4].weight.grad)
    assert_all_learn(task)
    assert_own_parameters(task, ("2", "4"))


def test_the_papers_defaults():
    for task in (
        sg.recipes.multi_instance(build()),
        sg.recipes.cl_ilr(build(), layers=("4",)),
        sg.recipes.tree(build(), table={"4": [0, 1, 2]}),
    ):
        imitation = task.objectives[1]
        assert (task.group.students, imitation.temperature, imitation.divergence) == (3, 2.0, "cross_entropy")
        assert task.weights(0.0) == {"supervised": 0.5, "imitation": 0.5}
        assert (task.reduction, imitation.moves_teachers, imitation.aggregate) == ("sum", False, "logits")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: sg.recipes.multi_instance(build(), students=1), "students is 1"),
        (lambda: sg.recipes.cl_ilr(build(), layers=["4"], students=1), "students is 1"),
        (lambda: sg.recipes.tree(build(), table={"4": [0]}), "layer '4' of the tree has one head"),
    ],
)
def test_one_head_has_nobody_to_learn_from(make, told):
    """It would have α of the labels' loss, which is a lower learning rate and nothing else."""
    with pytest.raises(ValueError, match=told):
        make()
