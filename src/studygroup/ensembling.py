"""All students as one module: the ensemble of what a group ships."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from studygroup.checks import check_choice, check_networks, check_whole
from studygroup.inputs import logits_of
from studygroup.objectives import CrossEntropy
from studygroup.task import CollaborativeLearning

Averaged = Literal["probabilities", "logits"]
_AVERAGED: tuple[Averaged, ...] = ("probabilities", "logits")


class Ensemble(nn.Module):
    """Several networks that answer together, as one module.

    With `"probabilities"` the answer is log(1/K · Σ_k ψ(z_k)), whose softmax is the mean of the networks'
    probabilities; with `"logits"` it is 1/K · Σ_k z_k. It is called as its networks are.

    Args:
        networks: one or more of the same input and the same classes. They are held, not copied.
        average: what is averaged.
        class_axis: axis of the classes in the networks' logits.

    Raises:
        ValueError: no network, something that is none, or an unknown `average`.
    """

    def __init__(
        self, networks: Sequence[nn.Module], *, average: Averaged = "probabilities", class_axis: int = 1
    ) -> None:
        super().__init__()
        check_networks(networks)
        self.average = check_choice("average", average, _AVERAGED)
        self.class_axis = check_whole("class_axis", class_axis)
        self.networks = nn.ModuleList(networks)

    def forward(self, *args: Any, **named: Any) -> Float[Tensor, "rows *shape"]:
        """Return the logits of a batch, handed on to every network as it comes."""
        answers = torch.stack([_logits(network(*args, **named)) for network in self.networks])
        if self.average == "logits":
            return answers.mean(0)
        axis = self.class_axis + 1 if self.class_axis >= 0 else self.class_axis
        return answers.log_softmax(axis).logsumexp(0) - math.log(len(self.networks))


def ensemble(task: CollaborativeLearning) -> Ensemble:
    """Return all students of what a task ships as one module: the mean of their class probabilities.

    Where labels are not one class a row or place (another criterion than cross-entropy), logits are averaged. What
    students share, or have equal, is held once; it is computed for each of them.

    Args:
        task: its `shipped` group is exported; the module is in evaluation mode.

    Example:
        >>> sg.recipes.distillation(task.shipped.export(0), teacher=sg.ensemble(task), example=images)
    """
    group, criterion = task.shipped, task.criterion
    networks = [group.export(student) for student in range(group.students)]
    _tie_equal(networks)
    several = isinstance(criterion, CrossEntropy)
    axis = criterion.class_axis if isinstance(criterion, CrossEntropy) else 1
    return Ensemble(networks, average="probabilities" if several else "logits", class_axis=axis).eval()


def _tie_equal(networks: Sequence[nn.Module]) -> None:
    """Let networks hold one parameter where an earlier one has an equal one under the same name, in place.

    Buffers stay apart: a pass in training, as of `update_bn`, would move statistics once for every network.
    """
    there: dict[str, list[nn.Parameter]] = {}
    for network in networks:
        for path, module in network.named_modules():
            for name, own in module._parameters.items():
                if own is None:
                    continue
                earlier = there.setdefault(f"{path}.{name}", [])
                same = next((one for one in earlier if type(one) is type(own) and _equal(one, own)), None)
                module._parameters[name] = own if same is None else same
                earlier += [own] if same is None else []


def _equal(one: Tensor, other: Tensor) -> bool:
    alike = (one.shape, one.dtype, one.device) == (other.shape, other.dtype, other.device)
    return alike and torch.equal(one, other)


def _logits(output: Any) -> Tensor:
    found = logits_of(output)
    if found is None:
        raise ValueError(
            f"a network returned {type(output).__name__}; networks of an ensemble return logits, or an output that "
            "has .logits"
        )
    return found
