"""Students that cannot learn from each other are warned of: where they start equal and stay so, or cannot learn."""

import re
import warnings

import pytest
import torch
from torch import nn

import studygroup as sg
from helpers.tasks import batch, smooth
from studygroup.objectives import Imitation, Supervised
from studygroup.teachers import MeanOfOthers, RandomSubgroup

LAYERS = ["0", "2", "4"]
BRANCH = {"layers": ["2", "4"], "example": batch()[0], "init": "copy"}
COPIES = {
    "cgl": lambda: sg.recipes.cgl(smooth(), layers=LAYERS, students=4, init="copy"),
    "cgl, rows shared": lambda: sg.recipes.cgl(
        smooth(), layers=["0"], students=4, modules=2, subsets=False, init="copy", distinct=False, seed=7
    ),
    "cl_ilr": lambda: sg.recipes.cl_ilr(smooth(), layers=["4"], init="copy"),
    "dml": lambda: sg.recipes.dml(smooth(), init="copy"),
    "dml in turn": lambda: sg.recipes.dml(smooth(), init="copy", in_turn=True),
    "ffl": lambda: sg.recipes.ffl(smooth(), **BRANCH),
    "kdcl": lambda: sg.recipes.kdcl(smooth(), init="copy"),
    "kdcl_general": lambda: sg.recipes.kdcl(smooth(), init="copy", teacher=sg.teachers.GeneralTeacher),
    "multi_instance": lambda: sg.recipes.multi_instance(smooth(), init="copy"),
    "okddip": lambda: sg.recipes.okddip(smooth(), **BRANCH),
    "one": lambda: sg.recipes.one(smooth(), **BRANCH),
    "pcl": lambda: sg.recipes.pcl(smooth(), **BRANCH),
    "tree": lambda: sg.recipes.tree(smooth(), table={"2": [0, 0, 1, 1], "4": [0, 1, 2, 3]}, init="copy"),
    "uneven tree": lambda: sg.CollaborativeLearning(
        sg.StudyGroup(smooth(), sg.routes.tree({"2": [0, 0, 1], "4": [0, 1, 2]}), init="copy"),
        [Supervised(), Imitation(MeanOfOthers())],
    ),
}


def built(build) -> tuple[sg.CollaborativeLearning, list[str]]:
    """A task, and what was said of equal students when it was built and at the first step."""
    torch.manual_seed(0)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        task = build().train()
        x, y = batch()
        list(task.steps(x, y, owner=owners(task, len(y))))
    task.step = 0
    return task, [str(one.message) for one in said if one.category is sg.EqualStudentsWarning]


def owners(task: sg.CollaborativeLearning, rows: int) -> torch.Tensor | None:
    return torch.arange(rows) % task.group.students if isinstance(task.rows, sg.Subsets) else None


def learn(task: sg.CollaborativeLearning, steps: int = 10) -> None:
    x, y = batch()
    optimiser = torch.optim.SGD([p for p in task.parameters() if p.requires_grad], lr=0.5)
    for _ in range(steps):
        for losses in task.steps(x, y, owner=owners(task, len(y))):
            optimiser.zero_grad()
            losses.total.backward()
            optimiser.step()


def pairs_alike(task: sg.CollaborativeLearning) -> set[tuple[int, int]]:
    with torch.no_grad():
        logits = task.eval().group(batch()[0]).logits
    students = range(len(logits))
    return {(a, b) for b in students for a in range(b) if torch.allclose(logits[a], logits[b], atol=1e-4)}


@pytest.mark.parametrize("name", COPIES)
def test_copies_are_warned_of_if_and_only_if_training_leaves_them_alike(name):
    task, said = built(COPIES[name])
    learn(task)
    assert bool(said) == bool(pairs_alike(task))
    assert all(
        "init=<a function that returns a new model>" in one and "rows=Subsets()" in one for one in said
    )


def seeded() -> nn.Module:
    torch.manual_seed(5)
    return smooth()


def peers(*chosen: int) -> sg.Peers:
    networks = [smooth() for _ in range(3)]
    return sg.Peers([networks[number] for number in chosen])


SOME = {
    "one object": (lambda: sg.recipes.dml(peers(0, 0, 0)), "all students start"),
    "one object twice": (lambda: sg.recipes.dml(peers(0, 1, 0, 2)), "students 0 and 2 start"),
    "two objects twice": (lambda: sg.recipes.dml(peers(0, 1, 0, 1)), "students 0 and 2; 1 and 3 start"),
    "a fixed seed": (lambda: sg.recipes.dml(seeded(), init=seeded), "all students start"),
    "a fixed seed, beside another": (
        lambda: sg.recipes.dml(smooth(), students=4, init=seeded), "students 1, 2 and 3 start",
    ),
    "branches of a fixed seed": (
        lambda: sg.recipes.cl_ilr(smooth(), layers=["4"], students=3, init=seeded), "students 1 and 2 start",
    ),
    "one path for two": (
        lambda: sg.CollaborativeLearning(
            sg.StudyGroup(smooth(), sg.routes.tree({"2": [0, 1, 0], "4": [0, 1, 0]}), init=smooth),
            [Supervised(), Imitation(RandomSubgroup(0.5))],
        ),
        "students 0 and 2 start",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SOME)
def test_some_students_who_start_equal_are_named(name):
    build, text = SOME[name]
    torch.manual_seed(3)
    task, said = built(build)
    assert len(said) == 1
    assert text in said[0]
    alike = pairs_alike(task)
    learn(task)
    assert pairs_alike(task) == alike != set()


def dropping(rate: float = 0.5) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Dropout(rate), nn.Linear(8, 7))


def in_attention() -> nn.Module:
    layer = nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, batch_first=True)
    layer.self_attn.dropout = 0.5
    return nn.Sequential(nn.Unflatten(1, (1, 6)), layer, nn.Flatten(), nn.Linear(6, 7))


class Functional(nn.Module):
    """Drops without a module that says so."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(6, 8), nn.Linear(8, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(nn.functional.dropout(self.body(x).tanh(), 0.5, self.training))


def heads_anew(task: sg.CollaborativeLearning) -> sg.CollaborativeLearning:
    for head in task.group.copies("4"):
        head.reset_parameters()
    return task


APART = {
    "dropout as a function": lambda: sg.recipes.dml(Functional(), init="copy"),
    "heads drawn anew": lambda: heads_anew(sg.recipes.dml(smooth(), init="copy")),
    "heads of branches drawn anew": lambda: heads_anew(
        sg.recipes.cl_ilr(smooth(), layers=["2", "4"], init="copy")
    ),
    "other weights": lambda: sg.recipes.dml(smooth(), init=smooth),
    "dropout": lambda: sg.recipes.dml(dropping(), init="copy"),
    "dropout in attention": lambda: sg.recipes.dml(in_attention(), init="copy"),
    "subsets": COPIES["cgl"],
    "one student": lambda: sg.recipes.baseline(smooth()),
    "draws of one who is like another": lambda: sg.CollaborativeLearning(
        peers(0, 1, 0, 2), [Supervised(), Imitation(RandomSubgroup(0.25))]
    ),
}


@pytest.mark.parametrize("name", APART)
def test_students_whom_something_parts_are_not_warned_of(name):
    task, said = built(APART[name])
    assert not said
    learn(task)
    assert not pairs_alike(task)


def test_dropout_of_rate_zero_parts_nobody():
    assert built(lambda: sg.recipes.dml(dropping(0.0), init="copy"))[1]


def test_those_that_nothing_parts_are_named_beside_a_head_drawn_anew():
    def one_anew() -> sg.CollaborativeLearning:
        task = sg.recipes.dml(smooth(), init="copy")
        task.group.copies("4")[1].reset_parameters()
        return task

    said = built(one_anew)[1]
    assert len(said) == 1
    assert said[0].startswith("students 0 and 2 start with the same weights")


def evaluated(net: nn.Module) -> nn.Module:
    return net.eval()


@pytest.mark.parametrize("given", [dropping, lambda: evaluated(dropping())])
def test_dropout_that_draws_nothing_in_evaluation_mode_is_warned_of_at_the_first_step(given):
    """A task may be fine-tuned in evaluation mode, and a pretrained network is handed in in that mode."""
    x, y = batch()
    task = sg.recipes.dml(given(), students=2, init="copy")
    if task.group.copies("2")[0].training:
        task.eval()
    with torch.no_grad():
        task(x, y)  # a score before training
    with pytest.warns(
        sg.EqualStudentsWarning, match=r"dropout is in evaluation mode.*call train\(\) on the task"
    ):
        task(x, y)
    task(x, y)  # said once
    trained = sg.recipes.dml(given(), students=2, init="copy").train()
    trained(x, y)


def test_students_who_are_alike_after_some_steps_are_warned_of_whatever_the_reason():
    """Adam takes the size of gradients away, by which routes part students."""
    task, said = built(
        lambda: sg.recipes.cgl(smooth(), layers=LAYERS, students=4, init="copy", subsets=False)
    )
    assert not said
    optimiser = torch.optim.Adam(task.parameters(), lr=0.01)

    def train(steps: int) -> None:
        for _ in range(steps):
            optimiser.zero_grad()
            task(*batch()).total.backward()
            optimiser.step()

    train(20)
    with pytest.warns(sg.EqualStudentsWarning, match="all students still answer alike after 20 steps"):
        train(1)
    train(1)


@pytest.mark.parametrize(
    ("freeze", "students"),
    [
        (lambda net: net.requires_grad_(False), "all students cannot learn"),
        (lambda net: net, None),
        (lambda net: net[4].requires_grad_(False) and net, None),
    ],
)
def test_students_without_a_gradient_are_warned_of(freeze, students):
    net = freeze(smooth())
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        sg.recipes.dml(net, init=smooth)
    said = [str(one.message) for one in said if one.category is sg.NoGradientWarning]
    assert [re.match(students or "", one) is not None for one in said] == ([True] if students else [])


def test_one_network_that_cannot_learn_is_the_student():
    with pytest.warns(
        sg.NoGradientWarning, match=r"^the student cannot learn: no parameter asks for a gradient"
    ):
        sg.recipes.baseline(smooth().requires_grad_(False))


def test_a_frozen_network_among_peers_is_named():
    fixed = smooth().requires_grad_(False)
    with pytest.warns(sg.NoGradientWarning, match=r"student 1 cannot learn: no parameter .*teachers\.Frozen"):
        sg.recipes.dml(sg.Peers([smooth(), fixed]))


def test_frozen_branches_that_are_equal_are_warned_of():
    """What is frozen is the given one in every student, however it is drawn."""
    net = smooth()
    net[4].requires_grad_(False)
    task = sg.recipes.cl_ilr(net, layers=["4"], init=smooth)
    with pytest.warns(sg.EqualStudentsWarning, match="all students start with the same weights"):
        task(*batch())


def test_a_student_frozen_after_the_task_was_built_is_warned_of_once_in_training():
    task = sg.recipes.dml(smooth(), students=2, init=smooth)
    for parameter in task.group.parameters_of(1):
        parameter.requires_grad_(False)
    task.eval()(*batch())
    task.train()
    with pytest.warns(sg.NoGradientWarning, match="student 1 cannot learn"):
        task(*batch())
    task(*batch())
    turns = sg.recipes.dml(smooth(), students=2, init=smooth, in_turn=True)
    list(turns.steps(*batch()))  # the others are held only while one learns


def test_draws_go_on_in_evaluation_mode_and_stand_still_without_a_gradient():
    task = sg.recipes.cgl(
        smooth(), layers=LAYERS, students=8, modules=4, init=smooth, probability=0.25
    ).eval()
    x, y = batch()
    owner = torch.arange(len(y)) % 8
    tables = []
    for _ in range(5):
        tables.append(task.teachers[0].consults(task.step))
        with torch.no_grad():
            task(x, y, owner=owner)
        assert torch.equal(task.teachers[0].consults(task.step), tables[-1])
        task(x, y, owner=owner).total.backward()
    assert all(not torch.equal(a, b) for k, a in enumerate(tables) for b in tables[:k])


def test_an_optimiser_of_the_network_handed_in_is_warned_of():
    """Students are copies: it would train nothing, and its steps would say nothing."""
    net = smooth()
    wrong = torch.optim.SGD(net.parameters(), lr=0.1)
    task = sg.recipes.dml(net, students=2, init=smooth)
    right = torch.optim.SGD(task.parameters(), lr=0.1)
    task(*batch()).total.backward()
    right.step()
    with pytest.warns(sg.NoGradientWarning, match=r"SGD holds parameters of the network that was handed in"):
        wrong.step()
    plain = torch.optim.Adam(net.parameters())
    net(batch()[0]).sum().backward()  # beside the students, it may be trained by itself
    plain.step()
    wrong.step()
