"""The base of all objectives, and what they see of a training step."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Float64, Shaped
from torch import Tensor, nn

from studygroup._engine.capture import Capture
from studygroup.checks import check_number, shown
from studygroup.functional.precision import single
from studygroup.group import Group
from studygroup.inputs import Inputs
from studygroup.objectives.criteria import Counts, Criterion, CrossEntropy, Each
from studygroup.objectives.layer_backward import LayerGradients
from studygroup.outputs import Outputs
from studygroup.schedules import Schedule, constant
from studygroup.teachers import Teacher
from studygroup.teachers.base import Weights


@dataclass(frozen=True)
class Heard:
    """A teacher's answers as the students hear them.

    Attributes:
        logits: the answers, in single precision at least.
        weights: weight of each answer for each student.
    """

    logits: Float[Tensor, "teachers rows *classes"]
    weights: Weights


@dataclass(frozen=True)
class Step:
    """A training step as objectives see it.

    Attributes:
        group: the students.
        outputs: the students' answers on the rows on which each is supervised, with what the objective captures.
        answers: their answers on the rows on which others consult them; the same where rows have no owner.
        x: the batch, as the model takes it.
        y: the labels.
        progress: how far training has come, from 0 to 1.
        criterion: the meaning of labels, and how answers are compared.
        consults: who consults whom, by teacher.
        by_others: answers of groups other than the students, by group.
        layer_gradients: collects the gradients of objectives that train single layers.
        share: where several processes divide the step, what the mean over each student's rows here counts.
    """

    group: Group
    outputs: Outputs
    answers: Outputs
    x: Inputs
    y: Shaped[Tensor, "rows *_"]
    progress: float
    criterion: Criterion = field(default_factory=CrossEntropy)
    consults: Mapping[Teacher, Bool[Tensor, "students teachers"]] = field(default_factory=dict)
    by_others: Mapping[Group, Outputs] = field(default_factory=dict)
    layer_gradients: LayerGradients = field(default_factory=LayerGradients)
    share: Float64[Tensor, " students"] | None = None
    _heard: dict[Teacher, Heard] = field(default_factory=dict)

    def class_labels(self, of: str) -> Shaped[Tensor, "rows *_"]:
        """Return the labels for an objective that needs one class a row: indices, or a probability for each class.

        Args:
            of: name of the caller, for the error.

        Raises:
            ValueError: the task's criterion has other labels.
        """
        index = not self.y.is_floating_point() and self.y.ndim == 1
        plain = isinstance(self.criterion, CrossEntropy) and self.outputs.logits.ndim == 3
        if not plain or not (index or self.y.is_floating_point()):
            raise ValueError(
                f"{of} learns from one class a row, and the task has {type(self.criterion).__name__} on labels of "
                f"shape {tuple(self.y.shape)}; leave it out, or use CrossEntropy with one label a row"
            )
        return self.y

    def label_loss(
        self, logits: Float[Tensor, "students rows classes"], y: Shaped[Tensor, "rows *_"]
    ) -> tuple[Each, Counts | None]:
        """Return the loss of other answers than the students' own, with one class a row, as `Criterion.loss` does.

        Args:
            logits: the answers.
            y: labels as `class_labels` returns them, of these rows.
        """
        with torch.autocast(logits.device.type, enabled=False):
            return self.criterion.loss(logits, y)

    def check_all_labelled(self, of: str) -> None:
        """Refuse rows without a label where each is to have one; on a device, looking would wait, and is left out.

        Args:
            of: name of what needs all labels, for the error.

        Raises:
            ValueError: a row has none.
        """
        there = self.criterion.labelled(self.y) if self.y.ndim == 1 else None
        if there is None or there.device.type != "cpu" or torch.compiler.is_compiling():
            return
        missing = int((~there).sum())
        if missing:
            raise ValueError(
                f"{of} needs the label of every row, and {missing} of {there.numel()} have none; leave these rows out"
            )

    def share_of_all(self, of: str) -> float:
        """Return what a mean over all rows here counts, where several processes divide the step; otherwise 1.

        Args:
            of: name of the objective, for the error.

        Raises:
            ValueError: students have unequal shares, and the objective does not tell them apart.
        """
        if self.share is None:
            return 1.0
        least, most = float(self.share.min()), float(self.share.max())
        if least != most:
            raise ValueError(
                f"objective {of!r} has one value for all students, whose rows are divided among processes by unequal "
                f"shares ({least:g} to {most:g}); divide the rows of each student equally"
            )
        return least

    def hear(self, teacher: Teacher) -> Heard:
        """Return a teacher's answers in this step: computed once for all objectives, with autocast off."""
        if teacher not in self._heard:
            if teacher.knows_labels:
                self.check_all_labelled(type(teacher).__name__)
            answers = precise(self.answers if teacher.of is None else self.by_others[teacher.of])
            with torch.autocast(answers.logits.device.type, enabled=False):
                weights = teacher.weights(answers, self.consults[teacher])
                self._heard[teacher] = Heard(teacher.logits(answers, self.y), weights)
        return self._heard[teacher]


class Objective(nn.Module):
    """The base of all terms of the total.

    Args:
        name: key of the value in `Losses.values`.
        weight: weight of the value in the total, a number or a function of progress.

    Attributes:
        capture: what the objective needs of the pass in addition to logits.
        teachers: the teachers it listens to; the task consults them and owns their parameters.
        criterion: criterion of the labels, where the objective has one; all others of the task follow it.
        moves_teachers: whether its gradient flows into the teachers' answers.
        sources: BibTeX of what to cite, see `citation`.

    Raises:
        ValueError: a weight that is neither a finite number nor a function.
    """

    capture: Capture = Capture()
    teachers: tuple[Teacher, ...] = ()
    moves_teachers: bool = False
    sources: tuple[str, ...] = ()

    def __init__(self, *, name: str, weight: float | Schedule = 1.0) -> None:
        super().__init__()
        self.name = name
        self.criterion: Criterion | None = None
        self.weight: Schedule = (
            weight if callable(weight) else constant(float(check_number("weight", weight)))
        )

    def weight_at(self, progress: float) -> float:
        """Return the weight in the total at some progress.

        Raises:
            ValueError: the objective's function of progress returns no finite number.
        """
        weight = self.weight(progress)
        return check_number(
            f"the weight of {self.name!r} at progress {shown(progress)}",
            float(weight) if isinstance(weight, bool) else weight,
        )

    def before_pass(self, group: Group) -> Float[Tensor, ""] | None:
        """Return the value of an objective that needs no pass; `None` for all others.

        Being computed before the pass, such a value is reached last by the backward pass: its gradients then reuse
        the memory of activations that are already freed.
        """
        return None

    def loss(self, step: Step) -> Float[Tensor, " students"] | Float[Tensor, ""]:
        """Return the value, unweighted: one for each student, which the task reduces, or one for all.

        Under autocast it is called with autocast enabled.
        """
        raise NotImplementedError


def precise(outputs: Outputs) -> Outputs:
    """Return the outputs in single precision at least: under autocast they are in half precision."""
    return replace(
        outputs,
        logits=single(outputs.logits),
        features=None if outputs.features is None else single(outputs.features),
        trunk=None if outputs.trunk is None else single(outputs.trunk),
        activations={name: single(activation) for name, activation in outputs.activations.items()},
    )
