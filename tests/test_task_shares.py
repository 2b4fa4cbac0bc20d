"""What a task counts of a step that several processes divide."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import studygroup as sg
from studygroup.objectives.base import Objective, Step


class Says(Objective):
    """Has a given value, and keeps the step."""

    def __init__(self, value: torch.Tensor) -> None:
        super().__init__(name="says", weight=1.0)
        self.value = value

    def loss(self, step: Step) -> torch.Tensor:
        self.step = step
        return self.value


def counted(one: Says, share: list[float] | None) -> torch.Tensor:
    group = sg.StudyGroup(nn.Linear(2, 3), sg.routes.independent(students=2))
    given = None if share is None else torch.tensor(share, dtype=torch.float64)
    task = sg.CollaborativeLearning(group, [one])
    return task(torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64), share=given).values["says"]


def test_each_students_value_counts_its_share_in_its_own_precision():
    one = Says(torch.tensor([1.0, 3.0]))
    for share, expected in ((None, [1, 3]), ([1.0, 1.0], [1, 3]), ([2.0, 0.5], [2, 1.5])):
        found = counted(one, share)
        assert found.tolist() == expected
        assert found.dtype == torch.float32


def test_one_value_for_all_students_counts_a_share_that_is_the_same_for_all():
    one = Says(torch.tensor(3.0))
    found = counted(one, [2.0, 2.0])
    assert found.shape == ()
    assert found.dtype == torch.float32
    assert found.item() == 6
    assert counted(one, None).item() == 3
    with pytest.raises(ValueError, match=r"^objective 'says' has one value .* unequal shares \(0\.5 to 2\)"):
        counted(one, [2.0, 0.5])


def test_a_share_of_one_is_the_whole_step():
    one = Says(torch.tensor(3.0))
    for share in (None, [1.0, 1.0]):
        counted(one, share)
        assert one.step.share is None
    assert one.step.share_of_all("says") == 1
    half = torch.tensor([0.5, 0.5], dtype=torch.float64)
    assert replace(one.step, share=half).share_of_all("says") == 0.5
    with pytest.raises(
        ValueError, match=r"^share has shape \(3,\); hand in one number for each of 2 students"
    ):
        counted(one, [1.0, 1.0, 1.0])
