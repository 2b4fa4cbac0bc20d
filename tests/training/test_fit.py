"""What is refused before a run begins."""

import pytest
from torch import nn

import studygroup as sg
from helpers.small_run import small
from studygroup.training import methods, train


def one_of_two(model: nn.Module, *, new: methods.New) -> sg.CollaborativeLearning:
    """Two students, and a group of one that ships."""
    group, one = (sg.StudyGroup(model, sg.routes.independent(students=n), init=new) for n in (2, 1))
    return sg.CollaborativeLearning(group, [sg.objectives.Supervised()], exports=one)


def test_a_task_that_ships_something_else_than_its_students_is_refused_before_it_is_trained(tmp_path):
    with pytest.raises(ValueError, match="trains 2 students and ships 1"):
        train(small(recipe=one_of_two), run_dir=tmp_path / "run", progress_bar=False)
    assert not (tmp_path / "run").exists()
