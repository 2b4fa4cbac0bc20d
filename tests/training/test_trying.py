"""What is compared before training: here the classes of a teacher with those of the data."""

import dataclasses

import pytest
import torch
from torch import nn

import studygroup as sg
from helpers.small_run import small
from studygroup.training.trying import check_teachers


def test_a_teacher_with_the_same_classes_in_another_order_is_refused():
    data = small().load_data()
    net = nn.Sequential(nn.Flatten(), nn.Linear(data.train[torch.arange(1)][0].numel(), len(data.classes)))
    task = sg.recipes.distillation(net, teacher=net, example=data.train[torch.arange(2)][0].float())
    (teacher,) = task.teachers
    check_teachers(task, data)  # nothing is on record
    teacher.trained_on = {"classes": list(data.classes)}
    check_teachers(task, data)
    teacher.trained_on = {"classes": [*data.classes[1:], data.classes[0]]}
    with pytest.raises(ValueError, match=r"the teacher's classes are 1, 2, .* and those of the data 0, 1, "):
        check_teachers(task, data)
    other = dataclasses.replace(data, classes=tuple(f"digit {name}" for name in data.classes))
    check_teachers(task, other)  # names that tell nothing of the order
