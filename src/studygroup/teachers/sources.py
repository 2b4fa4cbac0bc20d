"""Sources of teachers' answers other than the students: their moving averages (EMA), a frozen network."""

import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from studygroup._engine.capture import Capture
from studygroup._engine.copying import duplicate
from studygroup._engine.isolate import requiring, set_mode
from studygroup._engine.walk import every_module, every_parameter
from studygroup.checks import check_share
from studygroup.group import Group, StudyGroup
from studygroup.inputs import Inputs, Table
from studygroup.outputs import Outputs
from studygroup.routes import independent
from studygroup.teachers.base import Teacher

_NOTHING = Capture()
_LOW = (torch.float16, torch.bfloat16)


class _Constant(Group):
    """A group that answers without gradient."""

    def __init__(self, group: Group) -> None:
        super().__init__()
        self.routes = group.routes
        self._asked = [parameter.requires_grad for parameter in group.parameters()]
        self.model = group.requires_grad_(False)

    @property
    def _group(self) -> Group:
        assert isinstance(self.model, Group)
        return self.model

    @torch.no_grad()
    def forward(self, inputs: Inputs, *, sees: Table = None, capture: Capture = _NOTHING) -> Outputs:
        """Return the answers without gradient, see `StudyGroup.forward`."""
        outputs: Outputs = self.model(inputs, sees=sees, capture=capture)
        return outputs

    def copies(self, name: str) -> list[nn.Module]:
        """Return all modules that take the place of one layer, see `Group.copies`."""
        return self._group.copies(name)

    def parameters_of(self, student: int) -> Iterator[nn.Parameter]:
        """Yield the parameters that a student's answers depend on."""
        return self._group.parameters_of(student)

    def export(self, student: int) -> nn.Module:
        """Return one student as a plain network, as trainable as what was handed in, see `Group.export`."""
        with requiring(self.model.parameters(), self._trainable()):
            return self._group.export(student)

    def _trainable(self) -> Sequence[bool]:
        return self._asked


class Averages(_Constant):
    """Exponential moving averages (EMA) of all students' weights: θ̄ ← φ θ̄ + (1−φ) θ.

    φ = min(1 − 1/g, decay), g = 1 for the initial weights and one more after each update, as for mean teachers
    (Tarvainen and Valpola 2017). Averages move after each step of the optimiser that holds the students' parameters:
    once per update, however many passes it takes (gradient accumulation, SAM, closures), and not where a gradient
    scaler skips the step. Of several optimisers, the one counts that holds the first parameter that learns; if none
    does, the first that steps. With an optimiser that is not a `torch.optim.Optimizer`, call `update` after each
    step.

    The averages of parameters in half precision are kept in float32 and rounded for the pass. Buffers are not
    averaged: in training mode averages normalise by the statistics of their own activations, and move those; averages
    that teach nobody make no pass, and have the students' buffers.

    They can teach (`teachers.MeanOfOthers(of=averages)`, `teachers.Self(of=averages)`), and they can be scored and
    shipped (`CollaborativeLearning(exports=averages)`).

    Args:
        group: the students; the averages start as a copy of them.
        decay: largest φ, in [0, 1].

    Attributes:
        updates: number of updates averaged so far, kept in the state dict.

    Raises:
        ValueError: a decay outside [0, 1].
    """

    _passes = False  # whether it answers in training, and so has statistics of its own

    def __init__(self, group: Group, *, decay: float = 0.999) -> None:
        check_share("decay", decay, of="the average")
        super().__init__(duplicate(group))
        self.decay = decay
        self.updates = 0
        self._starts = True
        self._followed = (group,)  # in a tuple, so that it is no sub-module: the task owns it
        self._lags = False  # a state from before averages moved after the update lacks the last one
        self._keep_precise()
        _follow_optimisers(self)

    def update(self) -> None:
        """Average the students' present weights in."""
        self._take(every_parameter(self._followed[0]))

    def _take(self, weights: Sequence[Tensor]) -> None:
        if not self._passes:
            self._take_buffers()
        self._starts = False
        self.updates += 1
        self._move(1 - min(1 - 1 / (self.updates + 1), self.decay), weights)
        self._lags = False

    @torch.no_grad()
    def _begin(self) -> None:
        """Start from the students as they are: weights and statistics may have been loaded meanwhile."""
        self._move(1.0, every_parameter(self._followed[0]))
        self._take_buffers()
        self._starts = False

    @torch.no_grad()
    def _take_buffers(self) -> None:
        for own, followed in zip(every_module(self.model), every_module(self._followed[0]), strict=True):
            for name, buffer in followed._buffers.items():
                if buffer is not None:
                    own.get_buffer(name).copy_(buffer)

    @torch.no_grad()
    def _move(self, weight: float, followed: Sequence[Tensor]) -> None:
        own = every_parameter(self.model)
        precise = [self._precise(i, old) if old.dtype in _LOW else old for i, old in enumerate(own)]
        torch._foreach_lerp_(
            precise, [new.to(old) for new, old in zip(followed, precise, strict=True)], weight
        )
        for parameter, average in zip(own, precise, strict=True):
            if parameter is not average:
                parameter.copy_(average)

    def start_step(self) -> None:
        """Begin as the students are, before their first pass in training moves their statistics."""
        if self.training and torch.is_grad_enabled():  # without, `update_bn` may take statistics again
            self._passes = True
            if self._starts:
                self._begin()

    def forward(self, inputs: Inputs, *, sees: Table = None, capture: Capture = _NOTHING) -> Outputs:
        """Return the averages' answers without gradient, see `StudyGroup.forward`."""
        self.start_step()
        if self._lags and self.training:
            self.update()
        for own, followed in zip(every_module(self.model), every_module(self._followed[0]), strict=True):
            # a frozen norm stays one, unless its statistics are taken again
            set_mode(own, self.training and (followed.training or _taken_again(own, followed)))
        outputs: Outputs = super().forward(inputs, sees=sees, capture=capture)
        return outputs

    def _trainable(self) -> Sequence[bool]:
        return [parameter.requires_grad for parameter in self._followed[0].parameters()]

    def get_extra_state(self) -> Shaped[Tensor, ""]:
        """Return the number of updates, for the state dict."""
        return torch.tensor(self.updates)

    def set_extra_state(self, state: Tensor | dict[str, int]) -> None:
        """Restore the number of updates; a state of version 0.1.0 is a mapping, and one update behind."""
        self._starts, self._lags = False, isinstance(state, dict)
        self.updates = state["steps"] - 1 if isinstance(state, dict) else int(state)

    def _precise(self, index: int, parameter: Tensor) -> Tensor:
        name = f"precise_{index}"
        average = self.get_buffer(name)
        mesh = getattr(parameter, "device_mesh", None)
        if mesh is not None and not hasattr(average, "device_mesh"):  # sharded since: the average goes along
            from torch.distributed.tensor import distribute_tensor

            average = distribute_tensor(average, mesh, parameter.placements)  # type: ignore[attr-defined]
            self._buffers[name] = average
        return average

    def _keep_precise(self) -> None:
        """Keep a float32 average of every parameter in half precision."""
        for index, parameter in enumerate(self.model.parameters()):
            name = f"precise_{index}"
            there = self._buffers.get(name)
            if parameter.dtype in _LOW:
                self.register_buffer(name, (parameter if there is None else there).detach().float())
            elif there is not None:
                del self._buffers[name]

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        precise = {name: buffer for name, buffer in self._buffers.items() if buffer is not None}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, before in precise.items():  # moved, but not rounded
            moved = self._buffers[name]
            self._buffers[name] = before.to(device=None if moved is None else moved.device)
        self._keep_precise()
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        _follow_optimisers(self)


def _taken_again(own: nn.Module, followed: nn.Module) -> bool:
    """Tell whether `torch.optim.swa_utils.update_bn` is at work: it has norms count all batches alike."""
    if torch.is_grad_enabled() or not isinstance(own, _BatchNorm):
        return False
    return own.momentum is None and followed.momentum is not None


class Frozen(Teacher):
    """Every student listens to a trained network that stays as it is (Hinton et al. 2015).

    Args:
        network: any `nn.Module` that returns logits of the students' classes. It is copied, does not learn and stays
            in evaluation mode. Of a group that was trained, give `group.export(student)`, or a module that returns
            the mean of the logits of several.

    Attributes:
        trained_on: what is on record of the rows that it was trained to read: names of the `classes`, the `tokenizer`
            or the pictures' statistics; None where nothing is.

    Raises:
        ValueError: a group or a task, which answers for several students.
    """

    trained_on: Mapping[str, Any] | None = None

    def __init__(self, network: nn.Module) -> None:
        _check_plain(network)
        super().__init__(of=_Evaluated(StudyGroup(network, independent(students=1))))

    def consults(self, step: int) -> Bool[Tensor, "students 1"]:
        """Consult the network alone."""
        return torch.ones(self.students, 1, dtype=torch.bool)


def _check_plain(network: nn.Module) -> None:
    """Refuse a group and a task, which have several answers for a row."""
    is_task = hasattr(network, "group") and hasattr(network, "objectives")
    group = network.group if is_task else network
    if isinstance(group, Group):
        at = ".group" if is_task else ""
        raise ValueError(
            f"the teacher is a {type(network).__name__}, which answers for {group.students} students; give one of "
            f"them, teacher{at}.export(0), or a module that returns the mean of the logits of several"
        )


class _Evaluated(_Constant):
    """A group that answers without gradient, always in evaluation mode."""

    def __init__(self, group: Group) -> None:
        super().__init__(group)
        self.train(False)

    def train(self, mode: bool = True) -> "_Evaluated":
        """Stay in evaluation mode."""
        super().train(False)
        return self


_following: "weakref.WeakSet[Averages]" = weakref.WeakSet()
_begun: "weakref.WeakKeyDictionary[Optimizer, weakref.WeakKeyDictionary[Averages, int]]"
_begun = weakref.WeakKeyDictionary()  # how many updates there were when an optimiser began its step
# of which an optimiser holds the first parameter that learns
_led: "weakref.WeakSet[Averages]" = weakref.WeakSet()
_others: "weakref.WeakKeyDictionary[Averages, weakref.WeakKeyDictionary[Optimizer, int]]"
_others = weakref.WeakKeyDictionary()  # how often those that hold others have stepped since
_first: "weakref.WeakKeyDictionary[Averages, list[Tensor]]"
_first = weakref.WeakKeyDictionary()  # weights after the first step of one, which may not count
_hooks: list[Any] = []


def _follow_optimisers(averages: Averages) -> None:
    """Update averages after each step of the optimiser that holds the parameters they follow."""
    _following.add(averages)
    if not _hooks:
        _hooks.append(register_optimizer_step_pre_hook(_before_step))
        _hooks.append(register_optimizer_step_post_hook(_after_step))


def _before_step(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
    _begun[optimizer] = weakref.WeakKeyDictionary({one: one.updates for one in _following})
    for averages in list(_following):
        if averages._starts and _held(optimizer, averages) is not None:
            averages._begin()


def _after_step(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
    begun: Mapping[Averages, int] = _begun.pop(optimizer, {})
    skips = getattr(optimizer, "found_inf", None)  # a scaler lets fused optimisers skip a step by themselves
    if skips is not None and skips.item():
        return
    for averages in list(_following):
        if averages.updates != begun.get(averages, averages.updates):
            continue  # an optimiser that this one wraps has made the step
        _follow(averages, optimizer)


def _follow(averages: Averages, optimizer: Optimizer) -> None:
    """Take an update in, where an optimiser's step ends one."""
    held = _held(optimizer, averages)
    if held is None:
        return
    others = _others.setdefault(averages, weakref.WeakKeyDictionary())
    if held is next(p for p in averages._followed[0].parameters() if p.requires_grad):
        others.clear()
        _first.pop(averages, None)
        _led.add(averages)
        averages.update()
        return
    others[optimizer] = others.get(optimizer, 0) + 1
    if next(iter(others)) is not optimizer:
        return  # another's steps count
    if others[optimizer] == 1:  # one that holds the first parameter may step next
        if averages not in _led:
            _first[averages] = [p.detach().clone() for p in averages._followed[0].parameters()]
        return
    before = _first.pop(averages, None)
    if before is not None:
        averages._take(before)
    averages.update()


def _held(optimizer: Optimizer, averages: Averages) -> nn.Parameter | None:
    """Return the first parameter of the students that learns and that an optimiser holds."""
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    return next((p for p in averages._followed[0].parameters() if p.requires_grad and id(p) in held), None)
