"""Parts of a step: together they are the step, whatever the processes; without starting any."""

import pytest
import torch
from torch import nn

import studygroup as sg
from studygroup._engine.ranks import Place
from studygroup.batching import SharedBatches, StudentBatches
from studygroup.parallel import PartBatches, ScoredPart, part


def parts(rows, owner=None, *, students, divide="rows", ranks):
    return [part(rows, owner, students=students, divide=divide, rank=r, ranks=ranks) for r in range(ranks)]


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
@pytest.mark.parametrize("counts", [[9], [4, 4, 4], [7, 2, 5, 3], [6, 0, 5]])
def test_parts_by_rows_hold_every_row_once_and_no_single_ones(counts, ranks):
    owner = torch.repeat_interleave(torch.tensor(counts))[torch.randperm(sum(counts))]
    found = parts(len(owner), owner, students=len(counts), ranks=ranks)
    real = [one for one in found if one.share.any()]
    assert torch.cat([one.rows for one in real]).sort().values.tolist() == [*range(len(owner))]
    assert all(torch.equal(one.owner, owner[one.rows]) for one in found)
    for student, count in enumerate(counts):
        here = torch.tensor([int((one.owner == student).sum()) for one in real])
        assert (here != 1).all()
        if count >= 2 * ranks:
            assert here.max() - here.min() <= 1
        assert sum(float(one.share[student]) for one in found) == pytest.approx(ranks * (count > 0))


def test_parts_by_students_keep_each_students_rows_together():
    owner = torch.tensor([0, 1, 2, 3, 4, 4, 3, 0])
    found = parts(8, owner, students=5, divide="students", ranks=2)
    assert [one.rows.tolist() for one in found] == [[0, 1, 2, 7], [3, 4, 5, 6]]
    assert [one.share.tolist() for one in found] == [[2, 2, 2, 0, 0], [0, 0, 0, 2, 2]]


def test_a_process_that_no_row_is_left_for_takes_two_that_do_not_count():
    found = parts(3, students=2, ranks=3)
    assert [one.rows.tolist() for one in found] == [[0, 1, 2], [0, 1], [0, 1]]
    assert [one.share.tolist() for one in found] == [[3, 3], [0, 0], [0, 0]]
    alone = parts(2, [1, 1], students=2, divide="students", ranks=2)
    assert [one.share.tolist() for one in alone] == [[0, 0], [0, 2]]
    assert [one.owner.tolist() for one in alone] == [[1, 1], [1, 1]]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rows": 4, "students": 2, "divide": "students"}, "2 students who share all rows cannot be divided"),
        ({"rows": 4, "owner": [0, 0, 1, 1], "students": 2, "divide": "students", "ranks": 3}, "among 3 processes"),
        ({"rows": 4, "students": 2, "rank": 2, "ranks": 2}, "rank is 2 of 2 processes; give 0 to 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_divided_is_refused(given, said):
    with pytest.raises(ValueError, match=said):
        part(**given)


def test_cells_are_not_divided(unchecked):
    with pytest.raises(ValueError, match="divide='cells'; use 'rows' or 'students'"):
        part(4, students=2, divide="cells")


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))


EXAMPLE = torch.randn(2, 6)
BRANCH = {"layers": ["2"], "example": EXAMPLE, "init": build}
TASKS = {
    "cgl": lambda: sg.recipes.cgl(
        build(), layers=["0", "2"], students=5, modules=3, probability=0.5, init=build
    ),
    "dml": lambda: sg.recipes.dml(build(), init=build),
    "kdcl": lambda: sg.recipes.kdcl(build(), init=build),
    "okddip": lambda: sg.recipes.okddip(build(), **BRANCH),
    "pcl": lambda: sg.recipes.pcl(build(), **BRANCH),
    "auxiliary": lambda: sg.recipes.auxiliary_training(build(), inner=["0"], example=EXAMPLE),
    "local classifiers": lambda: sg.recipes.intra(build(), example=EXAMPLE, mid=1.0, inner=["0"]),
    "weights alone": lambda: sg.CollaborativeLearning(
        sg.StudyGroup(build(), sg.routes.independent(students=2), init=build),
        [sg.objectives.Supervised(), sg.objectives.KernelDecorrelation(["0"], weight=0.1)],
    ),
}


@pytest.mark.parametrize("divide", ["rows", "students"])
@pytest.mark.parametrize("name", TASKS)
def test_the_mean_over_parts_is_the_whole_step(name, divide):
    """Of the total, of all values and of all gradients; in double precision, of uneven parts."""
    torch.manual_seed(0)
    task = TASKS[name]().double().train()
    owned = isinstance(task.rows, sg.Subsets)
    if divide == "students" and not owned:
        return
    owner = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 4, 4]) if owned else None
    x, y = torch.randn(13, 6, dtype=torch.float64), torch.randint(3, (13,))

    def step(one=None):
        task.step = 3
        task.zero_grad()
        if one is None:
            losses = task(x, y, owner=owner, progress=0.5)
        else:
            losses = task(x[one.rows], y[one.rows], owner=one.owner, progress=0.5, share=one.share)
        losses.total.backward()
        values = {f"value of {key}": value.detach() for key, value in losses.values.items()}
        found = {key: p.grad.clone() for key, p in task.named_parameters() if p.grad is not None}
        return {"total": losses.total.detach(), **values, **found}

    whole = step()
    found = [step(one) for one in parts(13, owner, students=task.group.students, divide=divide, ranks=3)]
    assert len(whole) > 4
    for key, value in whole.items():
        mean = sum(one.get(key, torch.zeros_like(value)) for one in found) / 3
        torch.testing.assert_close(
            mean, value, rtol=1e-12, atol=1e-13, msg=lambda said, key=key: f"{key}: {said}"
        )


def test_one_value_for_all_students_takes_no_unequal_shares():
    objectives = [
        sg.objectives.Supervised(),
        sg.objectives.Ensemble(sg.teachers.PeerEnsemble(8, students=2, classes=3)),
    ]
    group = sg.StudyGroup(build(), sg.routes.independent(students=2), init=build)
    task = sg.CollaborativeLearning(group, objectives)
    x, y = torch.randn(4, 6), torch.zeros(4, dtype=torch.int64)
    with pytest.raises(ValueError, match="objective 'ensemble' has one value for all students"):
        task(x, y, owner=[0, 0, 1, 1], share=torch.tensor([2.0, 1.0], dtype=torch.float64))
    with pytest.raises(
        ValueError, match=r"share has shape \(3,\); hand in one number for each of 2 students"
    ):
        task(x, y, share=torch.ones(3, dtype=torch.float64))


def test_samplers_give_each_process_its_part_of_the_same_steps():
    own = [torch.arange(0, 7), torch.arange(7, 13)]

    def steps(rank, ranks):
        sampler = StudentBatches(own, batch_size=4, seed=1)
        if ranks == 1:
            return [*sampler]
        batches = PartBatches(sampler, students=2, divide="rows", here=Place(rank, ranks))
        batches.set_epoch(0)
        assert len(batches) == len(sampler)
        return [*batches]

    for whole, *two in zip(steps(0, 1), steps(0, 2), steps(1, 2), strict=True):
        assert torch.cat([one.draw.rows for one in two]).sort().values.equal(whole.rows.sort().values)
        assert all(one.share is not None and one.draw.epoch == 0 for one in two)


@pytest.mark.parametrize(
    ("rows", "ranks", "steps"), [(13, 2, 2), (8, 2, 1), (9, 2, 2), (5, 5, 1), (12, 3, 1)]
)
def test_rows_to_score_are_dealt_in_as_many_steps(rows, ranks, steps):
    dealt = [
        ScoredPart(SharedBatches(rows, batch_size=4, shuffle=False), here=Place(r, ranks))
        for r in range(ranks)
    ]
    assert [len(one) for one in dealt] == [steps] * ranks
    assert all(0 < len(draw.rows) <= 4 for one in dealt for draw in one)
    assert sorted(int(row) for one in dealt for draw in one for row in draw.rows) == [*range(rows)]
    with pytest.raises(ValueError, match="hold out one row for each"):
        ScoredPart(SharedBatches(2, batch_size=4), here=Place(0, 3))
