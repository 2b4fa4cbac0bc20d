"""What a task holds, by name; and the captures that tests ask for most."""

import studygroup as sg


def objective(task: sg.CollaborativeLearning, name: str) -> sg.objectives.Objective:
    """The objective of that name."""
    (found,) = (one for one in task.objectives if one.name == name)
    return found


def further(task: sg.CollaborativeLearning) -> list[sg.objectives.Objective]:
    """All objectives but labels and imitation, in their order."""
    return [one for one in task.objectives if one.name not in ("supervised", "imitation")]
