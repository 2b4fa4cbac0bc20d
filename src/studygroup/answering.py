"""The passes of a step: of the students, of those whom they consult, of all other groups."""

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from torch import Tensor

from studygroup._engine.capture import Capture
from studygroup._engine.isolate import only_trains, without_side_effects
from studygroup._engine.ranks import every_parameter_needs_a_gradient
from studygroup._engine.versions import SameInput
from studygroup._engine.whole_norms import check_passes_of_all
from studygroup.group import Group
from studygroup.inputs import Inputs
from studygroup.objectives import Step
from studygroup.objectives.layer_backward import LayerGradients
from studygroup.outputs import Outputs
from studygroup.planning import Plan, asked_of, want
from studygroup.seeding import derive

if TYPE_CHECKING:
    from studygroup.task import CollaborativeLearning


def answered(task: "CollaborativeLearning", x: Inputs, y: Tensor, plan: Plan) -> Step:
    """Run the students and all other groups.

    Raises:
        ValueError: a pass changes the input in place, and another one follows.
    """
    consults, same = plan.consults, SameInput(x)
    others = dict.fromkeys(teacher.of for teacher in consults if teacher.of is not None)
    for other in others:
        other.start_step()
    if plan.owns is None:
        outputs = answers = task.group(x, capture=plan.own | plan.heard)
    else:
        outputs, answers = _with_owners(task, x, plan.owns, plan, same)
    by_others = {}
    for other in others:
        heard = want(teacher.capture for teacher in consults if teacher.of is other)
        same.check()
        by_others[other] = other(x, sees=asked_of(other, consults, plan.owns), capture=heard)
    collects, criterion, share = LayerGradients(), task.criterion, plan.share
    if share is not None and bool((share == 1).all()):  # this process does all of the step
        share = None
    return Step(
        task.group, outputs, answers, x, y, plan.progress, criterion, consults, by_others, collects, share
    )


def _with_owners(
    task: "CollaborativeLearning", x: Inputs, owns: Tensor, plan: Plan, same: SameInput
) -> tuple[Outputs, Outputs]:
    """Return the answers of owners on their rows, and of those whom they consult there.

    Parameters of students who own no row get no gradient, unless `plan.moves` says that their answers have one.
    """
    check_passes_of_all(plan.joint or task.peers == "eval" or task.in_turn)
    asked = plan.asked
    if asked is None:
        outputs = task.group(x, sees=plan.sees, capture=plan.own)
        return outputs, outputs
    if plan.joint:
        moving = owns | asked if plan.moves else owns
        with nullcontext() if plan.compiled else _moving(task.group, moving):
            both = task.group(x, sees=plan.sees, capture=plan.heard)
        return both.part(owns), both.part(asked)
    if not plan.moves:
        answers = _second_pass(task, x, asked, plan.heard, gradient=False)
        same.check()
        return task.group(x, sees=owns, capture=plan.own), answers
    # owners first: otherwise the others' graph would hold statistics that the owners' pass changes in place
    outputs = task.group(x, sees=owns, capture=plan.own)
    same.check()
    return outputs, _second_pass(task, x, asked, plan.heard, gradient=True)


def _moving(group: Group, sees: Tensor) -> AbstractContextManager[None]:
    """Keep the parameters of students without rows out of the graph, where no other rank needs them in it."""
    present = sees.any(1).nonzero().flatten().tolist()
    if len(present) == group.students or every_parameter_needs_a_gradient():
        return nullcontext()
    chosen = (parameter for student in present for parameter in group.parameters_of(student))
    return only_trains(group.parameters(), chosen)


def _second_pass(
    task: "CollaborativeLearning", x: Inputs, asked: Tensor, heard: Capture, *, gradient: bool
) -> Outputs:
    seed = derive(task.seed, "peers", task.step)
    training = None if task.peers != "eval" and task.training else False  # None: a frozen norm stays one
    with without_side_effects(task.group.model, training=training, seed=seed, gradient=gradient):
        outputs: Outputs = task.group(x, sees=asked, capture=heard)
    return outputs
