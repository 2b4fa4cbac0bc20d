"""KDCL's loss and gradient against loops in float64, written from Guo et al. 2020."""

import itertools

import pytest
import torch

import studygroup as sg
from helpers.loops import (
    CLASSES,
    LABELS,
    ROWS,
    STUDENTS,
    answers,
    assert_all_learn,
    assert_equal_gradients,
    batch,
    build,
    constant,
    hard,
    kl,
    log_psi,
    networks,
)
from studygroup.teachers import BestStudent, GeneralTeacher, LinearTeacher, MinLogit


def assert_equal_step(task, nets, total) -> None:
    """The loop's total and its gradients in the separate networks are the group's."""
    total.backward()
    losses = task(*batch())
    losses.total.backward()
    torch.testing.assert_close(losses.total, total)
    assert_equal_gradients(task, nets, ("",))
    assert_all_learn(task)


def naive(z, n):
    return z[min(range(STUDENTS), key=lambda k: -log_psi(z[k][n])[LABELS[n]].item())][n]


def least(z, n):
    relative = [[z[k][n][c] - z[k][n][LABELS[n]] for c in range(CLASSES)] for k in range(STUDENTS)]
    return [min((relative[k][c] for k in range(STUDENTS)), key=float) for c in range(CLASSES)]


@pytest.mark.parametrize(("teacher", "by_loop"), [(BestStudent, naive), (MinLogit, least)])
@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")
def test_the_loss_and_its_gradient_are_the_papers(teacher, by_loop):
    torch.manual_seed(0)
    task = sg.recipes.kdcl(build(), teacher=teacher, temperature=2.0, weight=0.7).double()
    x, _ = batch()
    nets = networks(task)
    z = answers(nets, x)
    total = sum(hard(z[k]) for k in range(STUDENTS))
    for n in range(ROWS):
        target = constant(log_psi(by_loop(z, n), 2.0))
        for k in range(STUDENTS):
            total = total + 0.7 * 4 * kl(target, log_psi(z[k][n], 2.0)) / ROWS
    assert_equal_step(task, nets, total)


def test_the_least_logits_beat_every_student():
    torch.manual_seed(0)
    task = sg.recipes.kdcl(build()).double()
    x, y = batch()
    outputs = task.group(x)
    teacher = task.teachers[0].logits(outputs, y)[0]
    loss = torch.nn.functional.cross_entropy
    assert loss(teacher, y) <= min(loss(z, y) for z in outputs.logits)


def test_students_of_different_capacity():
    wide = torch.nn.Sequential(torch.nn.Linear(4, 9), torch.nn.ReLU(), torch.nn.Linear(9, CLASSES))
    task = sg.recipes.kdcl(sg.Peers([build(), wide]))
    x, y = batch()
    assert task(x.float(), y).total.isfinite()


def mixed(z, weights, n) -> list[torch.Tensor]:
    """Logits of row n, mixed."""
    return [sum(weights[k] * z[k][n][c] for k in range(STUDENTS)) for c in range(CLASSES)]


def expected_loss(z, weights) -> torch.Tensor:
    """Σ_k CE_k + T² KL(teacher ‖ student), T = 2, with the weights of each row."""
    total = sum(hard(z[k]) for k in range(STUDENTS))
    for n in range(ROWS):
        target = constant(log_psi(mixed(z, weights[n], n), 2.0))
        for k in range(STUDENTS):
            total = total + 4 * kl(target, log_psi(z[k][n], 2.0)) / ROWS
    return total


def least_on_the_simplex(cost, halvings=30) -> list[float]:
    """The minimum over α of three students, by walking to the best of the neighbours on ever finer steps."""
    best, step = (1 / 3, 1 / 3, 1 / 3), 1 / 3
    moves = [m for m in itertools.product((-1, 0, 1), repeat=3) if sum(m) == 0]
    for _ in range(halvings):
        while True:
            around = [tuple(a + step * d for a, d in zip(best, move, strict=True)) for move in moves]
            nearest = min((a for a in around if min(a) >= -1e-12), key=cost)
            if cost(nearest) >= cost(best):
                break
            best = nearest
        step /= 2
    return list(best)


@pytest.mark.parametrize("per_row", [True, False])
def test_linear(per_row):
    torch.manual_seed(0)
    task = sg.recipes.kdcl(build(), teacher=lambda: LinearTeacher(per_row=per_row, steps=200)).double()
    x, y = batch()
    nets = networks(task)
    for net in (*nets, *task.group.model.bank):
        net[4].weight.data *= 6  # students who are sure of different things
    z = answers(nets, x)
    values = [[[float(v) for v in row] for row in student] for student in z]

    def cost(alpha, rows) -> float:
        total = 0.0
        for n in rows:
            logits = mixed(values, alpha, n)
            total += -float(log_psi(torch.tensor(logits, dtype=torch.float64))[LABELS[n]]) / len(rows)
        return total

    groups = [[n] for n in range(ROWS)] if per_row else [list(range(ROWS))] * ROWS
    weights = [least_on_the_simplex(lambda alpha, rows=rows: cost(alpha, rows)) for rows in groups]
    assert any(0.05 < a < 0.95 for row in weights for a in row)  # not all of them corners
    found = sg.functional.best_mixture(task.group(x).logits, y, per_row=per_row, steps=200)
    for n, rows in enumerate(groups):
        assert cost(found[n].tolist(), rows) == pytest.approx(cost(weights[n], rows), abs=1e-7)
    total = expected_loss(z, found.tolist())
    assert_equal_step(task, nets, total)


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_twenty_steps_are_enough_for_a_teacher(scale):
    """In single precision, on logits from flat to saturated: as good as 500, never worse than the best student."""
    draw = torch.Generator().manual_seed(0)
    logits, y = torch.randn(4, 64, 10, generator=draw) * scale, torch.randint(10, (64,), generator=draw)

    def loss(steps: int) -> torch.Tensor:
        alpha = sg.functional.best_mixture(logits, y, steps=steps)
        torch.testing.assert_close(alpha.sum(1), torch.ones(64))
        assert (alpha >= 0).all()
        mix = torch.einsum("nk,knc->nc", alpha, logits)
        return torch.nn.functional.cross_entropy(mix, y, reduction="none")

    own = torch.stack([torch.nn.functional.cross_entropy(z, y, reduction="none") for z in logits])
    found, least = loss(20), loss(500)
    assert (found - least).mean() < 5e-3 * least.mean() < 5e-3 * own.amin(0).mean()
    assert (found <= own.amin(0) + 1e-3 * scale).all()


def inverse(c) -> list[list[float]]:
    """Of a matrix of three rows, by cofactors."""
    minor = [[None] * 3 for _ in range(3)]
    for i, j in itertools.product(range(3), repeat=2):
        (a, b), (e, f) = [[c[r][s] for s in range(3) if s != j] for r in range(3) if r != i]
        minor[i][j] = (-1) ** (i + j) * (a * f - b * e)
    determinant = sum(c[0][j] * minor[0][j] for j in range(3))
    return [[minor[j][i] / determinant for j in range(3)] for i in range(3)]


def general_by_loop(products, ridge) -> list[float]:
    mean = sum(products[k][k] for k in range(3)) / 3
    c = [[products[i][j] + (ridge * mean if i == j else 0.0) for j in range(3)] for i in range(3)]
    inv = inverse(c)
    whole = sum(sum(row) for row in inv)
    return [sum(inv[k]) / whole for k in range(3)]


def error_products_by_loop(z) -> list[list[float]]:
    c = [[0.0] * 3 for _ in range(3)]
    for i, j, n, k in itertools.product(range(3), range(3), range(ROWS), range(CLASSES)):
        f = [float(torch.exp(log_psi(z[s][n])[k]).detach()) - (k == LABELS[n]) for s in (i, j)]
        c[i][j] += f[0] * f[1] / ROWS
    return c


def test_general():
    """The first step weighs equally; the second by the errors of the first, the third by the average of two."""
    torch.manual_seed(0)
    task = sg.recipes.kdcl(build(), teacher=lambda: GeneralTeacher(decay=0.75, ridge=0.01)).double()
    optimiser = torch.optim.SGD(task.parameters(), lr=0.3)
    x, _ = batch()
    average = [[0.0] * 3 for _ in range(3)]
    seen = []
    for number in range(3):
        nets = networks(task)
        z = answers(nets, x)
        weights = general_by_loop(average, 0.01) if number else [1 / 3] * 3
        seen.append(weights)
        total = expected_loss(z, [weights] * ROWS)
        optimiser.zero_grad()
        assert_equal_step(task, nets, total)
        new = error_products_by_loop(z)
        average = [[0.75 * average[i][j] + 0.25 * new[i][j] for j in range(3)] for i in range(3)]
        torch.testing.assert_close(task.teachers[0].products, torch.tensor(average, dtype=torch.float64))
        optimiser.step()
    assert max(abs(a - b) for a, b in zip(*seen[1:], strict=True)) > 1e-3
    figures = task.teachers[0].figures()
    assert [float(figures[f"weight_{k}"]) for k in range(3)] == pytest.approx(general_by_loop(average, 0.01))


def test_a_student_who_errs_alone_is_heard_more_than_two_who_err_alike():
    alike = torch.tensor([[1.0, 0.99, 0.0], [0.99, 1.0, 0.0], [0.0, 0.0, 1.0]])
    weights = sg.functional.least_error_weights(alike, ridge=1e-3)
    torch.testing.assert_close(weights, torch.tensor([0.25, 0.25, 0.5]), atol=2e-3, rtol=0)
    assert sg.functional.least_error_weights(torch.ones(1, 1), ridge=1e-3).tolist() == [1]
    with pytest.raises(ValueError, match=r"^ridge is 0; give a finite number above 0$"):
        sg.functional.least_error_weights(alike, ridge=0)
    same = sg.functional.least_error_weights(torch.ones(3, 3), ridge=1e-3)  # singular
    torch.testing.assert_close(same, torch.full((3,), 1 / 3))


def test_general_measures_what_it_is_told_to():
    """Nothing in evaluation, nothing of training rows where the caller measures on rows of his own."""
    x, y = batch()
    task = sg.recipes.kdcl(build())
    logits = task.group(x.float()).logits
    for rule, train in ((GeneralTeacher(), False), (GeneralTeacher(on_training_rows=False), True)):
        task = sg.CollaborativeLearning(task.group, [sg.objectives.Imitation(rule)]).train(train)
        task(x.float(), y)
        assert not rule.products.any()
    rule = GeneralTeacher(decay=0.0, on_training_rows=False)
    rule.join(students=3, seed=0)
    rule.measure(logits, y)
    torch.testing.assert_close(rule.products, sg.functional.error_products(logits, y))
    for wrong in ({"decay": 1.0}, {"ridge": 0.0}):
        with pytest.raises(ValueError, match=r"(decay|ridge) is"):
            GeneralTeacher(**wrong)


def test_general_takes_in_no_answers_that_are_no_numbers():
    """As a pass in half precision may give them, whose update a scaler skips: the average stays a number."""
    rule = sg.teachers.GeneralTeacher()
    rule.join(students=2, seed=0)
    logits, y = torch.randn(2, 4, 3), torch.tensor([0, 1, 2, 0])
    rule.measure(logits, y)
    before = rule.products.clone()
    rule.measure(logits.index_fill(1, torch.tensor([2]), torch.inf), y)
    assert torch.equal(rule.products, before)
    assert before.any()


@pytest.mark.parametrize("teacher", [BestStudent, MinLogit, LinearTeacher, GeneralTeacher])
@pytest.mark.parametrize("missing", [-100, 2])
def test_rows_without_a_label_are_refused(teacher, missing):
    """Without a word, a teacher would take the class that marks them for theirs."""
    task = sg.recipes.kdcl(build(), init=build, teacher=teacher)
    task = task.with_criterion(sg.objectives.CrossEntropy(ignore_index=missing))
    x, y = batch()
    with pytest.raises(ValueError, match="label of every row, and 2 of 5 have none"):
        task(x.float(), torch.where(y == 2, missing, y))
