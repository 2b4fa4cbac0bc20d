"""What is averaged over those whom a student listens to, against loops in float64."""

import pytest
import torch
from torch import nn

import studygroup as sg
from helpers.loops import CLASSES, ROWS, STUDENTS, answers, batch, build, constant, kl, log_psi, networks
from studygroup import bibliography
from studygroup.objectives import Imitation, Supervised, song_chai
from studygroup.teachers import Averages, Frozen, MeanOfOthers, OneTeacher, RandomSubgroup

T = 2.0


def made(imitation: Imitation) -> sg.CollaborativeLearning:
    torch.manual_seed(0)
    group = sg.StudyGroup(build(), sg.routes.independent(students=STUDENTS), init=build)
    return sg.CollaborativeLearning(group, [imitation]).double()


def of_row(aggregate: str, z: list[torch.Tensor], others: list[torch.Tensor], moved: bool) -> torch.Tensor:
    """The loss of a student's answer z to one row, given those of the others."""

    def target(values: list[torch.Tensor]) -> list[torch.Tensor]:
        return values if moved else constant(values)

    if aggregate == "logits":
        mean = sum(others) / len(others)
        return kl(target(log_psi(mean, T)), log_psi(z, T))
    if aggregate == "probabilities":
        soft = [[torch.exp(value) for value in log_psi(other, T)] for other in others]
        mean = [torch.log(sum(p[c] for p in soft) / len(soft)) for c in range(CLASSES)]
        return kl(target(mean), log_psi(z, T))
    return sum(kl(target(log_psi(other, T)), log_psi(z, T)) for other in others) / len(others)


@pytest.mark.parametrize("aggregate", ["logits", "probabilities", "divergences"])
@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("scale", [False, True])
def test_aggregates(aggregate, moved, scale):
    options = {"temperature": T, "aggregate": aggregate, "moves_teachers": moved, "scale_by_t2": scale}
    task = made(Imitation(MeanOfOthers(), **options))
    x, y = batch()
    nets = networks(task)
    z = answers(nets, x)
    expected = []
    for k in range(STUDENTS):
        rows = [
            of_row(aggregate, z[k][n], [z[j][n] for j in range(STUDENTS) if j != k], moved)
            for n in range(ROWS)
        ]
        expected.append(sum(rows) / ROWS * (T**2 if scale else 1))
    sum(expected).backward()
    losses = task(x, y)
    losses.total.backward()
    torch.testing.assert_close(losses.imitation, torch.stack(expected))
    torch.testing.assert_close(losses.total, sum(expected))
    for student, net in enumerate(nets):
        for own, parameter in zip(task.group.parameters_of(student), net.parameters(), strict=True):
            torch.testing.assert_close(own.grad, parameter.grad)


def test_who_listens_to_nobody_has_nothing_to_imitate():
    for aggregate in ("logits", "probabilities", "divergences"):
        task = made(Imitation(RandomSubgroup(0.0), aggregate=aggregate))
        losses = task(*batch())
        losses.total.backward()
        assert not losses.imitation.any()
        assert not any(parameter.grad.any() for parameter in task.group.parameters())


def test_one_teacher_for_all_is_imitated_pair_by_pair_as_by_its_answer():
    """Of one who is listened to, all three averages are the same."""
    torch.manual_seed(1)
    frozen = nn.Linear(4, CLASSES)
    losses = [
        made(Imitation(Frozen(frozen), temperature=T, aggregate=aggregate))(*batch()).imitation
        for aggregate in ("logits", "probabilities", "divergences")
    ]
    assert losses[0].min() > 1e-3
    torch.testing.assert_close(losses[1], losses[0])
    torch.testing.assert_close(losses[2], losses[0])


def test_unknown_words(unchecked):
    with pytest.raises(ValueError, match="aggregate='mean'; use 'logits', 'probabilities' or 'divergences'"):
        Imitation(MeanOfOthers(), aggregate="mean")
    with pytest.raises(ValueError, match="divergence='js'; use 'kl' or 'cross_entropy'"):
        made(Imitation(MeanOfOthers(), divergence="js"))(*batch())
    with pytest.raises(ValueError, match=r"^teacher is 'peers'; give one of studygroup\.teachers$"):
        Imitation("peers")
    with pytest.raises(ValueError, match="temperature is 0"):
        made(Imitation(MeanOfOthers(), temperature=0.0))(*batch())


def test_whom_an_imitation_cites():
    """Divergences of students who teach each other are DML's; those of averages are not."""
    assert Imitation(MeanOfOthers()).sources == (bibliography.SONG_CHAI,)
    assert Imitation(MeanOfOthers(), aggregate="divergences").sources == (bibliography.DML,)
    group = sg.StudyGroup(build(), sg.routes.independent(students=2), init=build)
    averages = Imitation(MeanOfOthers(of=Averages(group)), aggregate="divergences")
    assert bibliography.DML not in averages.sources
    assert Imitation(RandomSubgroup(0.5)).sources == (bibliography.CGL,)


def test_song_chai_shares_one_weight_between_labels_and_imitation():
    labels, imitation = song_chai(0.3, 2.0, detach=False, weight=0.5)
    assert isinstance(labels, Supervised)
    assert (labels.weight(0.0), imitation.weight(1.0)) == pytest.approx((0.15, 0.35))
    assert (imitation.temperature, imitation.divergence, imitation.moves_teachers) == (
        2.0,
        "cross_entropy",
        True,
    )
    assert not song_chai(0.3, 2.0)[1].moves_teachers
    assert song_chai(0.3, 2.0, "kl")[1].divergence == "kl"


class Everybody(OneTeacher):
    """One who has nothing of its own to say."""


def test_a_teacher_that_says_nothing_else_is_the_mean_of_all():
    task = made(Imitation(Everybody(), temperature=T))
    x, y = batch()
    z = answers(networks(task), x)
    losses = task(x, y)
    for k in range(STUDENTS):
        rows = [
            kl(log_psi(sum(z[j][n] for j in range(STUDENTS)) / STUDENTS, T), log_psi(z[k][n], T))
            for n in range(ROWS)
        ]
        torch.testing.assert_close(losses.imitation[k], sum(rows) / ROWS)
