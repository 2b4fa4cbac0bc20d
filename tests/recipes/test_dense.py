"""Every recipe on dense and on multi-label answers: the numbers of its one-answer form, or a refusal.

Rows, classes, height and width are all 4, so that no shape tells them apart: an exchange of axes shows in numbers.
"""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import studygroup as sg
from studygroup import recipes
from studygroup.objectives import BinaryCrossEntropy, CrossEntropy, Imitation, Supervised
from studygroup.teachers import (
    BestStudent,
    GeneralTeacher,
    LinearTeacher,
    MinLogit,
    PeerAttention,
    PeerEnsemble,
)

SIDE, IGNORED = 4, 255


def dense(*last: nn.Module) -> nn.Module:
    """Answers (rows, 4, height, width), every pixel by itself."""
    return nn.Sequential(
        nn.Conv2d(2, 6, 1), nn.Tanh(), nn.Conv2d(6, 6, 1), nn.Tanh(), nn.Conv2d(6, SIDE, 1), *last
    )


def alone() -> nn.Module:
    """The same network for one pixel a row: answers (rows, 4)."""
    return dense(nn.Flatten())


def flat() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, SIDE))


def batch(kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(SIDE, 2, SIDE, SIDE, generator=draw)
    unknown = torch.rand(SIDE, SIDE, SIDE, generator=draw) < 0.3
    if kind == "classes":
        return x, torch.randint(SIDE, (SIDE,) * 3, generator=draw).masked_fill(unknown, IGNORED)
    several = (torch.rand((SIDE,) * 4, generator=draw) < 0.5).float()
    return x, several.masked_fill(unknown[:, None], torch.nan)


CRITERIA = {"classes": partial(CrossEntropy, ignore_index=IGNORED), "labels": BinaryCrossEntropy}
BRANCH = {"layers": ["2", "4"]}

SAME = {
    "baseline": lambda net: recipes.baseline(net()),
    "cgl": lambda net: recipes.cgl(
        net(), layers=["0", "2"], students=4, subsets=False, probability=0.5, ramp=(0.0, 0.5)
    ),
    "cl_ilr": lambda net: recipes.cl_ilr(net(), **BRANCH),
    "distillation": lambda net: recipes.distillation(net(), teacher=net(), example=_example(net)),
    "dml": lambda net: recipes.dml(net(), temperature=2.0, scale_by_t2=True),
    "intra, kernel": lambda net: recipes.intra(net(), kernel=0.1, kernels=["2"], example=_example(net)),
    "multi_instance": lambda net: recipes.multi_instance(net()),
    "self_distillation": lambda net: recipes.self_distillation(net(), decay=0.5),
    "tree": lambda net: recipes.tree(net(), table={"2": [0, 0, 1, 1], "4": [0, 1, 2, 3]}),
}
ONE_A_ROW = "one class a row"
REFUSED = {
    "auxiliary_training": (lambda **o: recipes.auxiliary_training(inner=["0", "2"], **o), ONE_A_ROW),
    "byot": (lambda **o: recipes.byot(inner=["0", "2"], **o), "head is not known"),
    "ffl": (lambda **o: recipes.ffl(**BRANCH, **o), "FusedClassifier has one answer a row"),
    "intra, mid": (lambda **o: recipes.intra(mid=1.0, inner=["0"], **o), ONE_A_ROW),
    "intra, pull_push": (lambda **o: recipes.intra(pull_push=0.1, inner=["0"], **o), ONE_A_ROW),
    "kdcl": (lambda example, model: recipes.kdcl(model), "one class index a row"),
    "okddip": (lambda **o: recipes.okddip(**BRANCH, **o), "head is not known"),
    "pcl": (lambda **o: recipes.pcl(**BRANCH, **o), "head is not known"),
}


def _example(net) -> torch.Tensor:
    return torch.zeros(2, 2, SIDE, SIDE) if net is dense else torch.zeros(2, 2, 1, 1)


def test_the_lists_name_every_recipe():
    named = {name.partition(",")[0] for name in (*SAME, *REFUSED, "one")}
    assert named == set(recipes.__all__)


@pytest.mark.parametrize(
    ("name", "kind"),
    [*((name, "classes") for name in SAME), ("dml", "labels"), ("self_distillation", "labels")],
)
def test_dense_answers_have_the_losses_and_gradients_of_their_pixels_as_rows(name, kind):
    torch.manual_seed(0)
    task = SAME[name](dense).with_criterion(CRITERIA[kind]()).train()
    pixels = SAME[name](alone).with_criterion(CRITERIA[kind]()).train()
    pixels.load_state_dict(task.state_dict())
    x, y = batch(kind)
    rows, answers = x.movedim(1, -1).reshape(-1, 2, 1, 1), y if kind == "classes" else y.movedim(1, -1)
    answers = answers.flatten(0, 2)
    there = answers != IGNORED if kind == "classes" else ~answers.isnan().any(1)
    assert 0 < there.sum() < len(there)
    for _ in range(2):  # averages are apart from their network after an update
        found = task(x, y, progress=0.3)
        expected = pixels(rows[there], answers[there], progress=0.3)
        for one, losses in ((task, found), (pixels, expected)):
            one.zero_grad()
            losses.total.backward()
            torch.optim.SGD(one.group.parameters(), lr=0.5).step()
        assert found.values.keys() == expected.values.keys()
        for key, value in expected.values.items():
            torch.testing.assert_close(found.values[key], value, rtol=1e-5, atol=1e-7)
        for ours, theirs in zip(task.group.parameters(), pixels.group.parameters(), strict=True):
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-6)
    assert all(value.abs().min() > 0 for value in expected.values.values())


@pytest.mark.parametrize("name", REFUSED)
def test_what_answers_once_a_row_refuses_dense_answers(name):
    build, said = REFUSED[name]
    x, y = batch("classes")
    with pytest.raises(ValueError, match=said):
        build(model=dense(), example=x).with_criterion(CRITERIA["classes"]())(x, y)


def test_every_teacher_of_kdcl_refuses_dense_answers():
    x, y = batch("classes")
    for teacher in (BestStudent, GeneralTeacher, LinearTeacher, MinLogit):
        with pytest.raises(ValueError, match="one class index a row"):
            recipes.kdcl(dense(), teacher=teacher).with_criterion(CRITERIA["classes"]())(x, y)


def test_the_gate_of_one_weighs_the_branches_of_a_picture():
    x, y = batch("classes")
    task = recipes.one(dense(), example=x, **BRANCH).with_criterion(CRITERIA["classes"]()).train()
    losses = task(x, y, progress=0.3)
    (gate,) = task.teachers
    answers = task.group(x, capture=gate.capture)
    weights = gate.weights(answers, gate.consults(0))[:, 0]
    together = torch.einsum("nk,knchw->nchw", weights, answers.logits)
    torch.testing.assert_close(losses.values["ensemble"], F.cross_entropy(together, y, ignore_index=IGNORED))


def test_views_of_a_picture_imitate_each_other_pixel_by_pixel():
    x, y = batch("classes")
    net = nn.Sequential(nn.Conv2d(2, 6, 1), nn.Dropout(0.5), nn.Conv2d(6, SIDE, 1))
    task = recipes.intra(net, out=1.0, dropouts=["1"], example=x).with_criterion(CRITERIA["classes"]())
    losses = task.train()(x, y)
    first, second = losses.logits
    assert not torch.equal(first, second)
    for view, logits, other in ((0, first, second), (1, second, first)):
        expected = F.cross_entropy(logits, y, ignore_index=IGNORED)
        torch.testing.assert_close(losses.supervised[view], expected)
        each = -((other / 2).softmax(1) * (logits / 2).log_softmax(1)).sum(1)
        torch.testing.assert_close(losses.imitation[view], each[y != IGNORED].mean())


class Skips(nn.Module):
    """An encoder-decoder whose decoder reads the encoder's maps twice."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.middle = nn.Conv2d(2, 6, 1), nn.Conv2d(6, 6, 1)
        self.decoder = Decoder()

    def forward(self, x):
        fine = self.down(x)
        return self.decoder(self.middle(F.max_pool2d(fine, 2)), fine)


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.head = nn.Conv2d(6, 6, 1), nn.Conv2d(12, SIDE, 1)

    def forward(self, deep, fine):
        return self.head(torch.cat([F.interpolate(self.up(deep), scale_factor=2.0), fine], 1))


def test_decoders_branch_as_a_whole_where_connections_skip_layers():
    x, y = batch("classes")
    task = recipes.cl_ilr(Skips(), layers=["decoder"]).with_criterion(CRITERIA["classes"]())
    losses = task(x, y)
    for student, logits in enumerate(losses.logits):
        torch.testing.assert_close(task.group.export(student)(x), logits)
    with pytest.raises(ValueError, match="name the enclosing block instead"):
        recipes.cl_ilr(Skips(), layers=["decoder.up", "decoder.head"])(x, y)


def test_a_named_head_gives_attention_its_features_and_a_joint_classifier_its_refusal():
    x, y = batch("classes")
    branches = sg.routes.branches(["2", "4"], students=3, leader=2)
    attention = PeerAttention(6, leader=2)
    listening = [
        Supervised(CRITERIA["classes"]()),
        Imitation(attention, moves_teachers=True),
    ]
    task = sg.CollaborativeLearning(sg.StudyGroup(dense(), branches, head="4"), listening)
    task(x, y).total.backward()
    assert attention.query.weight.grad.abs().sum() > 0
    fused = PeerEnsemble(6, students=3, classes=SIDE)
    listening[1] = Imitation(fused, moves_teachers=True)
    with pytest.raises(ValueError, match=r"PeerEnsemble has one answer a row, .* shape \(4, 4, 4\); "):
        sg.CollaborativeLearning(sg.StudyGroup(dense(), branches, head="4"), listening)(x, y)


def test_a_teacher_that_answers_in_another_shape_is_refused():
    x, _ = batch("classes")
    for teacher in (nn.Conv2d(2, 3, 1), nn.Sequential(nn.Flatten(), nn.Linear(32, SIDE))):
        with pytest.raises(ValueError, match=r"shape .* from the teacher and \(4, 4, 4\) from the student"):
            recipes.distillation(dense(), teacher=teacher, example=x)


SEVERAL = {
    "baseline": lambda **o: recipes.baseline(o["model"]),
    "cgl": lambda **o: recipes.cgl(o["model"], layers=["0", "2"], students=4, subsets=False),
    "cl_ilr": lambda **o: recipes.cl_ilr(o["model"], **BRANCH),
    "distillation": lambda **o: recipes.distillation(teacher=flat(), **o),
    "dml": lambda **o: recipes.dml(o["model"]),
    "ffl": lambda **o: recipes.ffl(**BRANCH, **o),
    "intra": lambda **o: recipes.intra(kernel=0.1, kernels=["2"], **o),
    "multi_instance": lambda **o: recipes.multi_instance(o["model"]),
    "okddip": lambda **o: recipes.okddip(**BRANCH, **o),
    "one": lambda **o: recipes.one(**BRANCH, **o),
    "pcl": lambda **o: recipes.pcl(**BRANCH, **o),
    "self_distillation": lambda **o: recipes.self_distillation(o["model"]),
    "tree": lambda **o: recipes.tree(o["model"], table={"2": [0, 0, 1, 1], "4": [0, 1, 2, 3]}),
    "auxiliary_training": REFUSED["auxiliary_training"][0],
    "byot": REFUSED["byot"][0],
    "kdcl": REFUSED["kdcl"][0],
    "intra, mid": REFUSED["intra, mid"][0],
    "intra, pull_push": REFUSED["intra, pull_push"][0],
}
NEED_CLASSES = {"auxiliary_training", "byot", "kdcl", "intra, mid", "intra, pull_push"}


@pytest.mark.parametrize("name", SEVERAL)
def test_several_labels_a_row_are_learnt_or_refused(name):
    x, y = torch.randn(8, 2), (torch.rand(8, SIDE) < 0.5).float()
    task = SEVERAL[name](model=flat(), example=x).with_criterion(BinaryCrossEntropy()).train()
    if name in NEED_CLASSES:
        with pytest.raises(ValueError, match="one class"):
            task(x, y)
        return
    losses = task(x, y, progress=0.5)
    assert all(value.isfinite().all() for value in losses.values.values())
    expected = [F.binary_cross_entropy_with_logits(logits, y) for logits in losses.logits]
    torch.testing.assert_close(losses.supervised, torch.stack(expected))


def test_the_ensemble_of_ffl_teaches_its_classifier_label_by_label():
    x, y = torch.randn(8, 2), (torch.rand(8, SIDE) < 0.5).float()
    y[0, 1] = torch.nan
    task = recipes.ffl(flat(), example=x, temperature=2.0, **BRANCH).with_criterion(BinaryCrossEntropy())
    losses = task.train()(x, y, progress=1.0)
    fused = next(one for one in task.objectives if one.name == "from_ensemble").teachers[0]
    p = (losses.logits.mean(0) / 2).sigmoid()
    q = (fused.answer(task.group(x, capture=fused.capture)) / 2).sigmoid()
    each = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    torch.testing.assert_close(losses.values["from_ensemble"], 4 * each[~y.isnan()].mean())
