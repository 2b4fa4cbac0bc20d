"""What docs/troubleshooting.md says of errors and warnings is what happens."""

import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import studygroup as sg
from helpers.pages import DOCS

PAGE = (DOCS / "troubleshooting.md").read_text()
QUOTES = [" ".join(quote.split()) for quote in re.findall(r"^```text\n(.*?)^```", PAGE, flags=re.M | re.S)]
X, Y = torch.randn(6, 8), torch.randint(4, (6,))


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 4))


def dropping() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 12), nn.Dropout(0.5), nn.Linear(12, 4))


def resnet() -> nn.Module:
    return sg.models.cifar_resnet18(classes=4, width=4)


class Locked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lock, self.head = threading.Lock(), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x)


SAID: dict[type[Warning], Callable[[], Any]] = {
    sg.EqualPathsWarning: lambda: sg.routes.random(["0"], students=3, modules=2),
    sg.EqualStudentsWarning: lambda: sg.recipes.dml(plain(), init="copy")(X, Y),
    sg.FreshInitWarning: lambda: sg.recipes.dml(resnet()),
    sg.NoGradientWarning: lambda: sg.recipes.baseline(plain().requires_grad_(False)),
    sg.NoOwnerWarning: lambda: sg.recipes.cgl(plain(), layers=["0"], students=2, init=plain)(X, Y),
    sg.SharedHeadWarning: lambda: sg.StudyGroup(
        plain(), sg.routes.branches(["0"], students=2), init=plain, example=X
    ),
    sg.SharedAttributeWarning: lambda: sg.recipes.dml(Locked(), init=Locked),
}


@pytest.mark.parametrize("kind", SAID)
def test_a_warning_comes_where_the_page_says(kind, unchecked):
    with pytest.warns(kind):
        SAID[kind]()


def test_the_page_has_every_warning_of_the_library():
    source = "".join(path.read_text() for path in (DOCS.parent / "src").rglob("*.py"))
    classes = set(re.findall(r"^class (\w+Warning)\(", source, flags=re.M))
    assert classes == set(re.findall(r"^\| `(\w+Warning)` \|", PAGE, flags=re.M))
    assert classes >= {kind.__name__ for kind in SAID}


def test_the_quoted_errors_are_those_that_are_raised(unchecked):
    one_row, residual, _ = QUOTES  # the third is torch's own
    group = sg.StudyGroup(plain(), sg.routes.independent(students=2), init=plain)
    with pytest.raises(ValueError, match=re.escape(one_row)):
        sg.CollaborativeLearning(group, [sg.objectives.Supervised()])(X[:3], Y[:3], owner=[0, 1, 1])
    inside = sg.routes.branches(["layer4.1.conv1", "fc"], students=3)
    fact, way_out = residual.split(": ", 1)[0], residual.split("0. ", 1)[1]
    with pytest.raises(ValueError, match=f"{re.escape(fact)}.*{re.escape(way_out)}"):
        sg.StudyGroup(resnet(), inside, init=resnet)(torch.randn(2, 3, 16, 16))


def test_dropout_parts_equal_students_in_training_mode_alone(unchecked):
    sg.recipes.dml(dropping(), students=2, init="copy")(X, Y)
    with pytest.warns(sg.EqualStudentsWarning, match="call train"):
        sg.recipes.dml(dropping(), students=2, init="copy").eval()(X, Y)


def test_a_function_that_sets_a_seed_does_not_part_students(unchecked):
    def seeded() -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return plain()

    with pytest.warns(sg.EqualStudentsWarning):
        sg.recipes.dml(seeded(), students=2, init=seeded)(X, Y)


def test_losses_under_autocast_are_float32_and_say_where_a_number_is_none(unchecked):
    task = sg.recipes.dml(plain(), students=2, init=plain)
    with torch.autocast("cpu", torch.bfloat16):
        losses = task(X, Y)
    assert {losses.total.dtype, *(value.dtype for value in losses.values.values())} == {torch.float32}
    bad = X.clone()
    bad[0] = torch.nan
    assert not task(bad, Y).values["supervised"].isfinite().any()


def test_what_students_share_gets_the_sum_of_their_gradients(unchecked):
    def shared(reduction: str) -> torch.Tensor:
        torch.manual_seed(0)
        task = sg.recipes.cl_ilr(
            plain(), layers=["3"], students=3, rescale_gradients=False, reduction=reduction, init=plain
        )
        task(X, Y).total.backward()
        return task.group.copies("0")[0].weight.grad

    torch.testing.assert_close(shared("sum"), 3 * shared("mean"))
