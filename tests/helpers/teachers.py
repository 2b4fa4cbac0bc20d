"""Teachers without a task."""

import torch

from studygroup.group import Outputs
from studygroup.teachers import Teacher


def joined(teacher: Teacher, students: int = 8, seed: int = 0) -> Teacher:
    """The teacher of so many students."""
    teacher.join(students=students, seed=seed)
    return teacher


def outputs(students: int) -> Outputs:
    """Answers of all students to two rows, which say nothing."""
    return Outputs(torch.zeros(students, 2, 3), torch.ones(students, 2, dtype=torch.bool))
