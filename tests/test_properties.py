"""Whatever table, owners, batch and settings are drawn: outputs, losses and gradients are those of plain loops.

The loops run each student alone, as it would be exported, in float64. Draws are deterministic; `-m long` makes
many more.
"""

import copy
from collections import Counter
from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import studygroup as sg
from helpers.drawn import FEW, IGNORED, LAYERS, MANY, Batch, alone, batches, net, tables
from helpers.loss_loops import Settings, psi, soft
from studygroup.data import StudentBatches, subsets


def assert_equal_gradients(group: nn.Module, found: Tensor, expected: Tensor) -> None:
    """Of both numbers, with respect to every parameter; none is 0."""
    parameters = [p for p in group.parameters() if p.requires_grad]

    def gradients(value: Tensor) -> list[Tensor]:
        if not value.requires_grad:
            return [torch.zeros_like(p) for p in parameters]
        return list(torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True))

    for a, b in zip(gradients(found), gradients(expected), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-12)


# the group


@st.composite
def passes(draw: st.DrawFn) -> tuple[sg.Routes, Batch]:
    routes = draw(tables())
    return routes, draw(batches(routes.students))


def outputs_are_those_of_the_students_alone(drawn: tuple[sg.Routes, Batch]) -> None:
    routes, batch = drawn
    torch.manual_seed(0)
    build = partial(net, batch.classes)
    group = sg.StudyGroup(build(), routes, init=build, share_head=True)
    check_pass(group, batch)


def check_pass(group: sg.Group, batch: Batch) -> None:
    logits = group(batch.x, sees=batch.sees).logits
    zero = logits.new_zeros(batch.classes)
    expected = torch.stack(
        [
            torch.stack(
                [row if seen else zero for row, seen in zip(alone(group, k, batch.x), sees, strict=True)]
            )
            for k, sees in enumerate(batch.sees)
        ]
    )
    torch.testing.assert_close(logits, expected, rtol=1e-10, atol=1e-12)
    factors = torch.randn(logits.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    assert_equal_gradients(group, (logits * factors).sum(), (expected * factors).sum())


@IGNORED
@FEW
@given(passes())
def test_outputs_are_those_of_the_students_alone(drawn):
    outputs_are_those_of_the_students_alone(drawn)


@IGNORED
@pytest.mark.long
@MANY
@given(passes())
def test_outputs_are_those_of_the_students_alone_many_times(drawn):
    outputs_are_those_of_the_students_alone(drawn)


@IGNORED
@FEW
@given(st.integers(1, 3).flatmap(batches), st.integers(0, 9))
def test_peers_answer_as_each_alone(batch, seed):
    torch.manual_seed(seed)
    check_pass(sg.Peers([net(batch.classes, width=2 + k) for k in range(len(batch.sees))]), batch)


# the losses


def weights_by_row(
    task: sg.CollaborativeLearning, batch: Batch, how: Settings, teacher: sg.teachers.Teacher | None
) -> list[list[list[float | Tensor]]]:
    """How much each student listens to each, row by row: [row][listener][who is listened to]."""
    students, rows = task.group.students, range(len(batch.y))
    if how.teacher == "gate":
        opened = gates(task, batch, task.teachers[0])
        return [[gate if how.moves else [w.detach() for w in gate]] * students for gate in opened]
    if how.teacher == "attention":
        return [attention(task, batch.x[n : n + 1], task.teachers[0]) for n in rows]
    asked = teacher.consults(task.step) if teacher is not None else torch.zeros(students, students)
    table = []
    for k in range(students):
        divisor = int(asked[k].sum())
        if isinstance(teacher, sg.teachers.RandomSubgroup) and teacher.selection == "bernoulli":
            divisor = teacher.probability * max(students - 1, 1)
        table.append([float(each) / (divisor or 1) for each in asked[k]])
    return [table for _ in rows]


def gates(task: sg.CollaborativeLearning, batch: Batch, rule: nn.Module) -> list[list[Tensor]]:
    """softmax(ReLU(BN(Linear(h)))) of ONE, h the last representation that all share, the norm over the rows."""
    trunk = alone(task.group, 0, batch.x, until=int(task.group.routes.layers[0]))
    opened = []
    for k in range(task.group.students):
        raw = [sum(a * b for a, b in zip(rule.linear.weight[k], h, strict=True)) for h in trunk]
        mean = sum(raw) / len(raw)
        variance = sum((value - mean) ** 2 for value in raw) / len(raw)
        scaled = [(value - mean) / torch.sqrt(variance + rule.norm.eps) for value in raw]
        normed = [value * rule.norm.weight[k] + rule.norm.bias[k] for value in scaled]
        opened.append([value if value > 0 else value * 0 for value in normed])
    return [list(psi(torch.stack(values))) for values in zip(*opened, strict=True)]


def attention(task: sg.CollaborativeLearning, row: Tensor, rule: nn.Module) -> list[list[float | Tensor]]:
    """Return softmax over peers of L(h_a) · E(h_b) of OKDDip; the leader, the last, hears all peers alike."""
    peers = range(task.group.students - 1)
    hidden = [alone(task.group, k, row, until=4)[0] for k in peers]
    table: list[list[float | Tensor]] = []
    for a in peers:
        heard = [b for b in peers if rule.include_self or a != b]
        energy = [(rule.query.weight @ hidden[a]) @ (rule.key.weight @ hidden[b]) for b in heard]
        shares = dict(zip(heard, psi(torch.stack(energy)), strict=True))
        table.append([shares.get(b, 0.0) for b in [*peers, len(peers)]])
    return [*table, [1 / len(peers) for _ in peers] + [0.0]]


def total(task: sg.CollaborativeLearning, batch: Batch, how: Settings) -> Tensor:
    """The loss by loops over students and rows."""
    students = task.group.students
    z = [alone(task.group, k, batch.x) for k in range(students)]
    teacher = copy.deepcopy(task.teachers[0]) if len(task.teachers) else None
    listened = weights_by_row(task, batch, how, teacher)
    losses = []
    for k in range(students):
        rows = [n for n in range(len(batch.y)) if batch.owner is None or batch.owner[n] == k]
        loss = z[k].sum() * 0
        for n in rows:
            label = int(batch.y[n])
            loss = loss - how.hard * psi(z[k][n])[label].log() / len(rows)
            if how.soft and teacher is not None:
                row = [answers[n] for answers in z]
                loss = loss + how.soft * soft(row, k, label, listened[n][k], how) / len(rows)
        losses.append(loss)
    if how.teacher == "gate":  # which learns from the ensemble's own cross-entropy
        for n, (label, gate) in enumerate(zip(batch.y, gates(task, batch, task.teachers[0]), strict=True)):
            ensemble = sum(w * answers[n] for w, answers in zip(gate, z, strict=True))
            losses.append(-psi(ensemble)[int(label)].log() / len(batch.y))
    return sum(losses) / (students if how.reduction == "mean" else 1)


TEMPERATURES = st.sampled_from([0.7, 1.0, 2.0])
KNOWING = {"min": sg.teachers.MinLogit, "best": sg.teachers.BestStudent}


@st.composite
def of_parts(draw: st.DrawFn) -> tuple[sg.CollaborativeLearning, Batch, Settings]:
    """Labels and imitation over any table, with any settings."""
    routes = draw(tables())
    how = Settings(
        hard=draw(st.sampled_from([0.0, 0.3, 1.0])),
        soft=draw(st.sampled_from([0.0, 0.5, 1.0])),
        temperature=draw(TEMPERATURES),
        divergence=draw(st.sampled_from(["kl", "cross_entropy"])),
        aggregate=draw(st.sampled_from(["logits", "probabilities", "divergences"])),
        scale_by_t2=draw(st.booleans()),
        moves=draw(st.booleans()),
        reduction=draw(st.sampled_from(["sum", "mean"])),
        teacher=draw(st.sampled_from(["others", "random"])),
    )
    random = partial(sg.teachers.RandomSubgroup, selection=draw(st.sampled_from(["fixed", "bernoulli"])))
    teacher = (
        sg.teachers.MeanOfOthers() if how.teacher == "others" else random(draw(st.sampled_from([0, 0.4, 1])))
    )
    batch = draw(batches(routes.students))
    build = partial(net, batch.classes)
    task = sg.CollaborativeLearning(
        sg.StudyGroup(build(), routes, init=build, share_head=True),
        [
            sg.objectives.Supervised(weight=how.hard),
            sg.objectives.Imitation(
                teacher, weight=how.soft, temperature=how.temperature, divergence=how.divergence,
                aggregate=how.aggregate, scale_by_t2=how.scale_by_t2, moves_teachers=how.moves,
            ),
        ],
        reduction=how.reduction,
        peers=draw(st.sampled_from(["joint", "train", "eval"])),
        seed=draw(st.integers(0, 9)),
    )  # fmt: skip
    return task, batch, how


@st.composite
def of_recipes(draw: st.DrawFn) -> tuple[sg.CollaborativeLearning, Batch, Settings]:
    """Recipes with settings of their own, by the equations of their docstrings."""
    name = draw(
        st.sampled_from(
            [
                "baseline", "dml", "kdcl", "multi_instance", "cl_ilr", "tree", "cgl", "distillation", "one", "okddip",
            ]
        )
    )  # fmt: skip
    students = 1 if name in ("baseline", "distillation") else draw(st.integers(2 + (name == "okddip"), 4))
    batch = draw(batches(students, least=2 if name == "one" else 1))  # ONE normalises over the rows
    build = partial(net, batch.classes)
    temperature, detach, scale = draw(TEMPERATURES), draw(st.booleans()), draw(st.booleans())
    alpha = draw(st.sampled_from([0.0, 0.3, 1.0]))
    if name == "baseline":
        return sg.recipes.baseline(build()), batch, Settings(soft=0.0)
    if name == "dml":
        options = {"students": students, "temperature": temperature, "detach": detach, "scale_by_t2": scale}
        how = Settings(temperature=temperature, scale_by_t2=scale, moves=not detach, aggregate="divergences")
        return sg.recipes.dml(build(), init=build, **options), batch, how
    if name == "kdcl":
        which = draw(st.sampled_from(sorted(KNOWING)))
        options = {"students": students, "temperature": temperature, "detach": detach, "scale_by_t2": scale}
        how = Settings(
            temperature=temperature, scale_by_t2=scale, moves=not detach, soft=alpha, teacher=which
        )
        return (
            sg.recipes.kdcl(build(), init=build, teacher=KNOWING[which], weight=alpha, **options),
            batch,
            how,
        )
    if name in ("one", "okddip"):
        aggregate = draw(st.sampled_from(["logits", "probabilities"]))
        own = {"detach": detach} if name == "one" else {"reduction": 2, "include_self": not detach}
        how = Settings(
            temperature=temperature, scale_by_t2=scale, aggregate=aggregate, moves=name == "okddip" or not detach,
            teacher="gate" if name == "one" else "attention",
        )  # fmt: skip
        task = getattr(sg.recipes, name)(
            build(), init=build, layers=LAYERS[draw(st.integers(1, 2)) :], students=students, example=batch.x,
            temperature=temperature, scale_by_t2=scale, aggregate=aggregate, **own,
        )  # fmt: skip
        return task.double(), batch, how
    if name == "cgl":
        layers = draw(st.lists(st.sampled_from(LAYERS), min_size=1, max_size=3, unique=True).map(sorted))
        options = {
            "students": students, "layers": layers, "modules": draw(st.integers(1, 3)), "temperature": temperature, "scale_by_t2": scale,  # noqa: E501
            "peers_gradient": not detach, "probability": alpha, "selection": draw(st.sampled_from(["fixed", "bernoulli"])),  # noqa: E501
            "seed": draw(st.integers(0, 9)),
        }  # fmt: skip
        how = Settings(temperature=temperature, scale_by_t2=scale, moves=not detach, teacher="random")
        return sg.recipes.cgl(build(), init=build, **options), batch, how
    if name == "distillation":
        task = sg.recipes.distillation(
            build(), teacher=build(), example=batch.x, alpha=alpha, temperature=temperature, scale_by_t2=scale
        )
        return task, batch, Settings(1 - alpha, alpha, temperature, scale_by_t2=scale, teacher="frozen")
    options = {
        "alpha": alpha, "temperature": temperature, "detach": detach, "init": build,
        "divergence": draw(st.sampled_from(["kl", "cross_entropy"])), "reduction": draw(st.sampled_from(["sum", "mean"])),  # noqa: E501
    }  # fmt: skip
    how = Settings(
        alpha, 1 - alpha, temperature, options["divergence"], moves=not detach, reduction=options["reduction"]
    )
    if name == "multi_instance":
        return sg.recipes.multi_instance(build(), students=students, **options), batch, how
    if name == "cl_ilr":
        task = sg.recipes.cl_ilr(
            build(),
            layers=LAYERS[draw(st.integers(0, 2)) :],
            students=students,
            rescale_gradients=False,
            **options,
        )
        return task, batch, how
    drawn = draw(tables(students))
    table = {name: [m % students for m in row] for name, row in zip(drawn.layers, drawn.table, strict=True)}
    return sg.recipes.tree(build(), table=table, rescale_gradients=False, **options), batch, how


def losses_are_those_of_the_loops(drawn: tuple[sg.CollaborativeLearning, Batch, Settings]) -> None:
    task, batch, how = drawn
    if how.teacher in KNOWING or how.teacher in ("frozen", "gate"):
        batch = replace(batch, owner=None)
    for _ in range(2):  # the second step draws anew
        expected = (
            loss_of_distillation(task, batch, how) if how.teacher == "frozen" else total(task, batch, how)
        )
        found = task(batch.x, batch.y, owner=batch.owner, progress=1.0).total
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
        assert_equal_gradients(task, found, expected)


def loss_of_distillation(task: sg.CollaborativeLearning, batch: Batch, how: Settings) -> Tensor:
    own, told = alone(task.group, 0, batch.x), task.sources[0].export(0)(batch.x).detach()
    terms = [
        -how.hard * psi(z)[label].log() + how.soft * soft([z, t], 0, int(label), [0.0, 1.0], how)
        for z, t, label in zip(own, told, batch.y, strict=True)
    ]
    return sum(terms) / len(terms)


@IGNORED
@FEW
@given(of_parts())
def test_losses_of_any_table_and_settings_are_those_of_loops(drawn):
    losses_are_those_of_the_loops(drawn)


@IGNORED
@FEW
@given(of_recipes())
def test_losses_of_recipes_are_those_of_loops(drawn):
    losses_are_those_of_the_loops(drawn)


@IGNORED
@pytest.mark.long
@MANY
@given(st.one_of(of_parts(), of_recipes()))
def test_losses_are_those_of_loops_many_times(drawn):
    losses_are_those_of_the_loops(drawn)


# tables and batches


@IGNORED
@FEW
@given(tables(), tables())
def test_tables_are_kept_as_json_and_compose(first, second):
    assert sg.Routes.from_json(first.to_json()) == first
    named = replace(second, layers=tuple(f"of.{name}" for name in second.layers))
    both = sg.routes.compose(first, named)
    for student, path in enumerate(zip(*both.table, strict=True)):
        a, b = divmod(student, second.students)
        assert path == tuple(row[a] for row in first.table) + tuple(row[b] for row in second.table)


@FEW
@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 999), st.data())
def test_random_paths_differ_whatever_is_drawn(layers, modules, seed, data):
    students = data.draw(st.integers(1, min(modules**layers, 12)))
    names = [f"l{i}" for i in range(layers)]
    table = sg.routes.random(names, students=students, modules=modules, seed=seed)
    assert len(set(zip(*table.table, strict=True))) == students
    assert students < modules or all(set(row) == set(range(modules)) for row in table.table)


@FEW
@given(st.integers(1, 5), st.integers(1, 7), st.sampled_from([0.0, 0.3, 1.0]), st.integers(0, 99), st.data())
def test_an_epoch_has_every_row_of_every_student_once(students, size, overlap, seed, data):
    rows = data.draw(st.integers(students, 40))
    parts = subsets(rows, students, overlap=overlap, seed=seed)
    assert set(torch.cat(parts).tolist()) == set(range(rows))
    for part in parts:
        own = [len(each) for each in torch.arange(rows).tensor_split(students)]
        assert len(part) in {n + round(overlap * (rows - n)) for n in own}
    batches = StudentBatches(parts, batch_size=size, seed=seed)
    batches.set_epoch(data.draw(st.integers(0, 3)))
    seen: Counter[tuple[int, int]] = Counter()
    for step in batches:
        assert step.owner is not None
        seen.update(zip(step.owner.tolist(), step.rows.tolist(), strict=True))
        few = [k for k, count in Counter(step.owner.tolist()).items() if count == 1]
        assert size == 1 or all(len(parts[k]) == 1 for k in few)
    assert seen == Counter((k, row) for k, part in enumerate(parts) for row in part.tolist())
