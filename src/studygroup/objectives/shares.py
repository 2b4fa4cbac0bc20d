"""What an objective counts where several processes divide a step."""

from dataclasses import replace

from jaxtyping import Float, Float64
from torch import Tensor

from studygroup._engine.selection import to_device
from studygroup.objectives.base import Objective, Step


def with_share(step: Step, share: Float64[Tensor, " students"] | None) -> Step:
    """Return a step with the students' shares; without any where this process does all of it.

    Raises:
        ValueError: not one number for each student.
    """
    if share is None:
        return step
    students = step.group.students
    if share.shape != (students,):
        raise ValueError(
            f"share has shape {tuple(share.shape)}; hand in one number for each of {students} students, such as "
            "parallel.part(...).share"
        )
    return step if bool((share == 1).all()) else replace(step, share=share)


def counted(one: Objective, step: Step) -> Float[Tensor, " students"] | Float[Tensor, ""]:
    """Return an objective's value, as much of it as the rows of this process count.

    Raises:
        ValueError: see `Step.share_of_all`.
    """
    value = one.loss(step)
    if step.share is None:
        return value
    return value * (
        to_device(step.share, value.device).to(value) if value.ndim else step.share_of_all(one.name)
    )
