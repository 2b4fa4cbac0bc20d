"""Students of different architectures."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import studygroup as sg
from studygroup.objectives import Capture, Imitation, Supervised
from studygroup.teachers import MeanOfOthers

CLASSES = 7


def narrow() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, CLASSES))


def wide() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 9), nn.ReLU(), nn.Linear(9, CLASSES))


def test_every_network_answers_for_one_student():
    networks = [narrow(), wide(), narrow()]
    group = sg.Peers(networks).eval()
    x = torch.randn(5, 4)
    outputs = group(x)
    assert outputs.logits.shape == (3, 5, CLASSES)
    assert outputs.sees.all()
    for student, network in enumerate(networks):
        torch.testing.assert_close(outputs.logits[student], network.eval()(x))
        exported = group.export(student).eval()
        torch.testing.assert_close(outputs.logits[student], exported(x))
        assert list(exported.state_dict()) == list(network.state_dict())
        assert "studygroup" not in type(exported).__module__


def test_students_see_their_own_rows():
    group = sg.Peers([narrow(), wide(), wide()]).train()
    x, sees = torch.randn(4, 4), torch.tensor([[1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 0, 0]]).bool()
    outputs = group(x, sees=sees, capture=Capture(trunk=True))
    assert torch.equal(outputs.sees, sees)
    assert not outputs.logits[~sees].any()
    torch.testing.assert_close(outputs.logits[1, sees[1]], group.export(1)(x[sees[1]]))
    assert torch.equal(outputs.trunk, x)
    outputs.logits.sum().backward()
    idle = {id(p) for p in group.parameters_of(2)}
    assert all((p.grad is None) == (id(p) in idle) for p in group.parameters())


def test_features_must_be_of_equal_width():
    x, features = torch.randn(2, 4), Capture(features=True)
    assert sg.Peers([narrow(), narrow()])(x, capture=features).features.shape == (2, 2, 6)
    with pytest.raises(ValueError, match=r"student 1 have shape \(2, 9\) and those of student 0 \(2, 6\)"):
        sg.Peers([narrow(), wide()])(x, capture=features)
    with pytest.raises(ValueError, match="logits of student 1"):
        sg.Peers([narrow(), nn.Linear(4, 3)])(torch.randn(2, 4))


def test_layers_are_captured_by_their_names():
    found = sg.Peers([narrow(), narrow()])(torch.randn(2, 4), capture=Capture(activations=("0",))).activations
    assert found["0"].shape == (2, 2, 6)
    with pytest.raises(ValueError, match="no layer 'stem'"):
        sg.Peers([narrow(), wide()])(torch.randn(2, 4), capture=Capture(activations=("stem",)))


def test_consulted_peers_leave_no_trace():
    torch.manual_seed(0)
    task = sg.CollaborativeLearning(
        sg.Peers([narrow(), wide(), narrow()]), [Supervised(), Imitation(MeanOfOthers())]
    ).train()
    x, y = torch.randn(6, 4), torch.arange(6)
    plain = copy.deepcopy(task.group)
    losses = task(x, y, owner=[0, 1, 2, 0, 1, 2])
    own = plain.export(0)(x[[0, 3]])
    torch.testing.assert_close(losses.supervised[0], F.cross_entropy(own, y[[0, 3]]))
    assert losses.imitation.all()
    assert next(m for m in task.modules() if isinstance(m, nn.BatchNorm1d)).num_batches_tracked == 1


def test_saved_and_loaded_peers_are_the_same():
    group, other = sg.Peers([narrow(), wide()]).eval(), sg.Peers([narrow(), wide()]).eval()
    other.load_state_dict(group.state_dict())
    x = torch.randn(2, 4)
    assert torch.equal(group(x).logits, other(x).logits)
    assert group.routes == sg.routes.independent(students=2)


def test_what_does_not_fit_is_a_clear_error(unchecked):
    with pytest.raises(ValueError, match="0 networks"):
        sg.Peers([])
    with pytest.raises(ValueError, match="2 networks and 1 heads"):
        sg.Peers([narrow(), wide()], heads=["3"])
    group = sg.Peers([narrow(), wide()])
    with pytest.raises(ValueError, match=r"\(students, rows\) = \(2, 3\)"):
        group(torch.randn(3, 4), sees=torch.ones(3, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match="students 0 to 1"):
        group.export(2)


@pytest.mark.parametrize("sees", [[[True, False]], [[True, True, False]], [[False, True]]])
def test_a_row_that_nobody_sees_is_zero_wherever_it_stands(sees):
    """The last one too: its number is then that of the place of nobody."""
    table, net = torch.tensor(sees), torch.nn.Linear(4, 3)
    for group in (sg.Peers([net]), sg.StudyGroup(net, sg.routes.independent(students=1))):
        x = torch.randn(table.shape[1], 4)
        logits = group(x, sees=table).logits
        torch.testing.assert_close(logits[0], torch.where(table[0, :, None], net(x), 0))
