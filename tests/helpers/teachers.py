"""Teachers without a task."""

import torch
from torch import nn

from studygroup.outputs import Outputs
from studygroup.teachers import MeanOfOthers, OneTeacher, Teacher


def joined(teacher: Teacher, students: int = 8, seed: int = 0) -> Teacher:
    """The teacher of so many students."""
    teacher.join(students=students, seed=seed)
    return teacher


def outputs(students: int) -> Outputs:
    """Answers of all students to two rows, which say nothing."""
    return Outputs(torch.zeros(students, 2, 3), torch.ones(students, 2, dtype=torch.bool))


class Learns(MeanOfOthers):
    """Multiplies the mean of the others by what it learns."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def weights(self, answers, consults):
        return self.scale * super().weights(answers, consults)


class LearnsForAll(OneTeacher):
    """Multiplies the mean of all by what it learns."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def weights(self, answers, consults):
        return self.scale * super().weights(answers, consults)
