from torch import nn

import studygroup as sg
from studygroup.shipping import student_to_ship


def task(**options) -> sg.CollaborativeLearning:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    group = sg.StudyGroup(model, sg.routes.branches(["1"], students=3, **options))
    return sg.CollaborativeLearning(group, [sg.objectives.Supervised()])


def test_the_best_ships_the_first_of_equals():
    assert student_to_ship(task(), (0.2, 0.7, 0.7)) == 1


def test_a_leader_ships_whoever_is_best():
    assert student_to_ship(task(leader=2), (0.9, 0.7, 0.1)) == 2
