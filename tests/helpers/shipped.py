"""A group compared with what it exports."""

import torch

import studygroup as sg

CLASSES = 3


def groups(build, layers, *, students=2, **options) -> sg.StudyGroup:
    torch.manual_seed(0)
    return sg.StudyGroup(build(), sg.routes.branches(layers, students=students), init=build, **options)


def assert_ships(group: sg.StudyGroup, inputs, *, sees=None) -> None:
    """The group answers as its exports do, and students differ."""
    group.eval()
    with torch.no_grad():
        together = group(inputs, sees=sees)
        for student in range(group.students):
            network = group.export(student)
            alone = network(**inputs) if isinstance(inputs, dict) else network(inputs)
            own = together.sees[student]
            torch.testing.assert_close(together.logits[student][own], alone[own])
    if sees is None:
        assert (together.logits[0] - together.logits[1]).abs().max() > 1e-3
