"""One student in the network's places, and what a pass reads."""

import torch
from torch import nn

import studygroup as sg
from studygroup._engine.alone import Reading, as_student, storage_of


def test_a_student_stands_in_the_network_and_the_routed_layers_come_back():
    build = lambda: nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    group = sg.StudyGroup(build(), sg.routes.branches(["1"], students=2), init=build)
    routed = group.model[1]
    with as_student(group.model, 1) as network:
        assert network[1] is routed.bank[1]
    assert group.model[1] is routed
    whole = sg.StudyGroup(build(), sg.routes.independent(students=2), init=build)
    with as_student(whole.model, 1) as network:
        assert network is whole.model.bank[1]


def test_every_read_of_a_parameter_is_counted_under_the_first_module_that_makes_it():
    known, own, foreign = (nn.Linear(4, 4, bias=False) for _ in range(3))
    inside = [("first", known)]
    x = torch.randn(2, 4)
    with Reading({storage_of(known.weight)}, inside) as reading:
        known(x)
        inside[:] = [("second", own)]
        known(x)
        x @ known.weight.T[:, :1]
        own(x)
        foreign(x)
    assert reading.parameters == {storage_of(known.weight): "first"}
    assert reading.times[storage_of(known.weight)] > 3  # views are read too
    with Reading({storage_of(known.weight)}, []) as once:
        known.weight.sum()
    assert dict(once.times) == {storage_of(known.weight): 1}
    assert once.parameters == {storage_of(known.weight): ""}
    found = {id(parameter): reader for parameter, reader in reading.foreign}
    assert found == {id(foreign.weight): "second"}
