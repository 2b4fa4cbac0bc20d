"""Rows are dealt so that no student is alone with one, and a norm that gets one row says whose it is."""

import pytest
import torch
from torch import nn

import studygroup as sg
from studygroup.data import SharedBatches, StudentBatches, subsets

BRANCHES = ["norm", "head"]


class Net(nn.Module):
    """A linear trunk, a norm and a head."""

    def __init__(self, norm):
        super().__init__()
        self.trunk, self.norm, self.head = nn.Linear(6, 8), norm(), nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.norm(self.trunk(x)).relu())


def batch_norm():
    return nn.BatchNorm1d(8)


def rows_of(count):
    draw = torch.Generator().manual_seed(count)
    return torch.randn(count, 6, generator=draw), torch.arange(count) % 3


def branched(norm=batch_norm, students=3):
    group = sg.StudyGroup(Net(norm), sg.routes.branches(BRANCHES, students=students), init=lambda: Net(norm))
    return sg.CollaborativeLearning(group, [sg.objectives.Supervised()])


def of_own(norm=batch_norm, students=3):
    return sg.recipes.dml(Net(norm), students=students, init=lambda: Net(norm))


def of_peers(norm=batch_norm, students=3):
    peers = sg.Peers([Net(norm) for _ in range(students)])
    return sg.CollaborativeLearning(peers, [sg.objectives.Supervised()])


@pytest.mark.parametrize("make", [branched, of_own, of_peers])
@pytest.mark.parametrize("alone", [0, 1, 2])
def test_a_student_alone_with_one_row_is_named(make, alone):
    x, _ = rows_of(5)
    others = [student for student in range(3) if student != alone]
    owner = [others[0], others[0], alone, others[1], others[1]]
    message = (
        rf"^student {alone} has 1 row .*StudentBatches .*studygroup\.owners.*drop_last=True.* eval mode$"
    )
    with pytest.raises(ValueError, match=message):
        group_of(make())(x, sees=table(owner))


def group_of(task):
    return task.group.train()


def table(owner):
    return torch.arange(3)[:, None] == torch.tensor(owner)


@pytest.mark.parametrize("make", [branched, of_own, of_peers])
def test_one_row_for_all_is_named(make):
    x, y = rows_of(1)
    with pytest.raises(ValueError, match=r"students? (0|\[0, 1, 2\]) ha(s|ve) 1 row in this step"):
        make()(x, y)


def test_one_row_in_a_shared_norm_is_all_students_row():
    group = sg.StudyGroup(Net(batch_norm), sg.routes.branches(["head"], students=2), init="copy")
    with pytest.raises(ValueError, match=r"students \[0, 1\] have 1 row in this step"):
        group(rows_of(1)[0])


@pytest.mark.parametrize(
    "norm",
    [
        lambda: nn.LayerNorm(8),
        lambda: nn.GroupNorm(2, 8),
        lambda: nn.BatchNorm1d(8).eval(),
        lambda: nn.Sequential(nn.Unflatten(1, (2, 4)), nn.BatchNorm1d(2), nn.Flatten()),  # 4 values a channel
        nn.Identity,
    ],
)
def test_norms_that_can_work_on_one_row_do(norm):
    x, _ = rows_of(3)
    group = branched(norm).group
    assert torch.isfinite(group(x, sees=table([0, 0, 1])).logits).all()


def test_evaluation_takes_one_row():
    task = of_own().eval()
    assert task.group(rows_of(1)[0]).logits.shape == (3, 1, 3)


def test_other_errors_pass():
    class Broken(nn.Module):
        def forward(self, x):
            if self.training and len(x) == 1:
                raise ValueError("mine")
            return x

    with pytest.raises(ValueError, match=r"^mine$"):
        branched(Broken).group.train()(rows_of(3)[0], sees=table([0, 0, 1]))


@pytest.mark.parametrize("students", [1, 2, 3, 8])
@pytest.mark.parametrize("rows", [2, 3, 5, 16, 17, 33])
def test_owners_leave_nobody_alone(rows, students):
    draw = torch.Generator().manual_seed(rows)
    had = torch.zeros(students, dtype=torch.int64)
    for _ in range(40):
        owner = sg.owners(rows, students=students, generator=draw)
        counts = owner.bincount(minlength=students)
        assert owner.shape == (rows,)
        assert 1 not in counts
        assert counts[counts > 0].max() - counts[counts > 0].min() <= 1
        assert (counts > 0).sum() == min(students, rows // 2)
        had += counts
    assert had.min() > 0  # those without rows are not always the same
    assert (had / had.sum() - 1 / students).abs().max() < 0.2


def test_owners_follow_the_generator():
    first, second, other = (
        sg.owners(9, students=3, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(("rows", "students"), [(0, 2), (1, 2), (4, 0)])
def test_owners_refuse(rows, students):
    with pytest.raises(ValueError, match=rf"{rows} rows cannot be dealt to {students} students"):
        sg.owners(rows, students=students)


@pytest.mark.parametrize("rows", [5, 9, 33])
@pytest.mark.parametrize("make", [branched, of_own, of_peers])
def test_the_ways_out_train(make, rows):
    """With the helper, and with the samplers, every step of an epoch trains."""
    x, y = rows_of(rows)
    losses = [make()(x, y, owner=sg.owners(rows, students=3)).total]
    shared = SharedBatches(rows, batch_size=4)
    losses += [make()(x[draw.rows], y[draw.rows]).total for draw in shared]
    if rows >= 6:
        own = StudentBatches(subsets(rows, 3), batch_size=2)
        losses += [make()(x[draw.rows], y[draw.rows], owner=draw.owner).total for draw in own]
    assert torch.isfinite(torch.stack(losses)).all()


@pytest.mark.parametrize(
    ("owner", "message"),
    [
        ([True, False, True, False], r"owner is torch.bool of shape \(4,\)"),
        (["a", "b", "c", "d"], r"owner is \['a', 'b', 'c', 'd'\]; hand in one student number a row \(4\)"),
        ([0, 1, None, 0], r"owner is \[0, 1, None, 0\]; hand in"),
        ([0.0, 1.0, 2.0, 0.0], r"owner is torch.float32"),
        ([0, 1], r"of shape \(2,\); hand in one student number a row \(4\)"),
        ([0, 1, -1, 0], r"owner -1 is not one of students 0 to 2"),
        (torch.zeros(4, dtype=torch.complex64), r"owner is torch.complex64"),
    ],
)
def test_owners_that_are_none_are_refused(owner, message, unchecked):
    x, y = rows_of(4)
    with pytest.raises(ValueError, match=message):
        branched(nn.Identity)(x, y, owner=owner)
    for dtype in (torch.uint8, torch.int32):
        losses = branched(nn.Identity)(x, y, owner=torch.tensor([0, 1, 2, 0], dtype=dtype))
        assert losses.supervised.shape == (3,)
