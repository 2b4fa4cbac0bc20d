"""Learning from the labels: each student by itself, and an ensemble of them."""

import pytest
import torch
import torch.nn.functional as F

import studygroup as sg
from helpers.loops import CLASSES, LABELS, ROWS, STUDENTS, answers, batch, build, log_psi, networks
from studygroup.objectives import Ensemble, Supervised
from studygroup.teachers import Averages, Frozen, MeanOfOthers, OneTeacher, PeerEnsemble, Self


def grouped() -> sg.StudyGroup:
    torch.manual_seed(0)
    return sg.StudyGroup(build(), sg.routes.independent(students=STUDENTS), init=build)


class Everybody(OneTeacher):
    """The mean of all."""


def test_an_ensemble_learns_from_the_labels_of_all_rows():
    """CE(y, ψ(mean of all; 1)), and a gradient for everybody in it; on rows with owners too."""
    for owner in (None, [0, 1, 1, 2, 0]):
        task = sg.CollaborativeLearning(grouped(), [Ensemble(Everybody(), weight=0.5, name="all")]).double()
        x, y = batch()
        nets = networks(task)
        z = answers(nets, x)
        expected = torch.zeros((), dtype=torch.float64)
        for n in range(ROWS):
            mean = sum(z[k][n] for k in range(STUDENTS)) / STUDENTS
            expected = expected - log_psi(mean)[LABELS[n]] / ROWS
        (0.5 * expected).backward()
        losses = task(x, y, owner=owner)
        losses.total.backward()
        torch.testing.assert_close(losses.auxiliary["all"], expected)
        torch.testing.assert_close(losses.total, 0.5 * expected)
        for student, net in enumerate(nets):
            for own, parameter in zip(task.group.parameters_of(student), net.parameters(), strict=True):
                torch.testing.assert_close(own.grad, parameter.grad)


def test_an_ensemble_takes_labels_as_the_task_does():
    """Classes weigh in the divisor too, and rows without a label are no rows of the mean."""
    x, y = batch()
    weight = torch.linspace(0.5, 2, CLASSES, dtype=torch.float64)
    for options in ({"weight": weight}, {"ignore_index": 2}, {"weight": weight, "ignore_index": 2}):
        supervised = Supervised(sg.objectives.CrossEntropy(**options))
        task = sg.CollaborativeLearning(grouped(), [supervised, Ensemble(Everybody())]).double()
        mean = torch.stack([net(x) for net in networks(task)]).mean(0)
        torch.testing.assert_close(task(x, y).auxiliary["ensemble"], F.cross_entropy(mean, y, **options))


def test_an_ensemble_is_of_teachers_who_say_one_thing_to_all(unchecked):
    for other in (MeanOfOthers(), Self(of=Averages(grouped())), Frozen(build())):
        with pytest.raises(
            TypeError, match=f"{type(other).__name__} has an answer of its own for each student"
        ):
            Ensemble(other)
    Ensemble(PeerEnsemble(6, students=STUDENTS, classes=CLASSES))


@pytest.mark.parametrize("kind", [torch.uint8, torch.int64])
def test_labels_are_class_indices(kind):
    task = sg.CollaborativeLearning(grouped(), [Supervised()]).double()
    x, y = batch()
    expected = [F.cross_entropy(net(x), y) for net in networks(task)]
    torch.testing.assert_close(task(x, y.to(kind)).supervised, torch.stack(expected))
