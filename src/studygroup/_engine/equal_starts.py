"""Networks that would be trained for nothing: students that stay equal, and parameters that get no gradient."""

import warnings
import weakref
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from studygroup._engine.routed import RoutedLayer
from studygroup.routes import Routes

_RATES = ("p", "drop_prob", "drop_rate", "dropout")
_LATER = 20  # steps after which students that something parts have parted
_DRAWS = 8  # steps whose draws are looked at
_CLOSE = 1e-5  # of the largest logit
_WAYS_OUT = (
    "start them apart with init=<a function that returns a new model>, give them sub-sets of rows (rows=Subsets()), "
    "or dropout"
)

Classes = tuple[tuple[int, ...], ...]
"""Students that are equal, two at least in each class."""

ParametersOf = Callable[[int], Iterable[nn.Parameter]]
"""Maps a student to the parameters that its answers depend on."""

_given: "weakref.WeakValueDictionary[int, nn.Parameter]" = weakref.WeakValueDictionary()  # by their `id`
_looked: "weakref.WeakSet[Optimizer]" = weakref.WeakSet()
_hooks: list[Any] = []


class EqualStudentsWarning(UserWarning):
    """Students have equal weights, and nothing known to the task makes them differ."""


class NoGradientWarning(UserWarning):
    """A student has no parameter that asks for a gradient, or an optimiser none that gets one: nothing is learnt."""


def kinds(modules: Sequence[nn.Module]) -> list[int]:
    """Return a number for each module, the same where parameters and buffers have the same values."""
    states = [module.state_dict() for module in modules]
    first: list[int] = []
    for number, state in enumerate(states):
        like = (k for k in range(number) if first[k] == k and _equal(states[k], state))
        first.append(next(like, number))
    return first


def classes(signatures: Sequence[Hashable]) -> Classes:
    """Return the students that share a signature, two at least."""
    found: dict[Hashable, list[int]] = {}
    for student, signature in enumerate(signatures):
        found.setdefault(signature, []).append(student)
    return tuple(tuple(students) for students in found.values() if len(students) > 1)


def equally_placed(layers: Sequence[RoutedLayer], *, students: int, rescaled: bool) -> Classes:
    """Return the students that have equal weights and get equal gradients from equal rows, two at least each.

    A module that more students take gets a larger gradient, unless gradients are rescaled, so that it parts from its
    equals. Views of one network, which take the same weights and part at layers without any, are left out.

    Args:
        layers: the routed layers.
        students: how many there are.
        rescaled: whether gradients are divided by the number of branches where students part.
    """
    signatures: list[list[int]] = [[] for _ in range(students)]
    for layer in layers:
        if layer.has_state and len(layer.bank) > 1:
            kind = kinds(list(layer.bank))
            for student, module in enumerate(layer.choice):
                taken = 0 if rescaled else layer.choice.count(module)
                signatures[student] += [kind[module], taken]
    equal = classes([tuple(signature) for signature in signatures]) if any(signatures) else ()
    return tuple(several for several in equal if not _are_views(several, layers))


def _are_views(students: Sequence[int], layers: Sequence[RoutedLayer]) -> bool:
    """Tell whether students take the same weights and part at layers without any, such as dropout."""
    weights = {tuple(layer.choice[k] for layer in layers if layer.has_state) for k in students}
    paths = {tuple(layer.choice[k] for layer in layers) for k in students}
    return len(weights) == 1 < len(paths)


def _equal(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    if one.keys() != other.keys():
        return False
    tensors = {name: value for name, value in one.items() if isinstance(value, Tensor)}
    if any(value.is_meta for value in tensors.values()):  # shapes alone
        return False
    return all(v.shape == other[name].shape and bool((v == other[name]).all()) for name, v in tensors.items())


def drops_something(model: nn.Module, *, now: bool = False) -> bool:
    """Tell whether a module of dropout or stochastic depth draws a new mask in every training pass.

    Args:
        model: the students' network.
        now: whether it does in the mode that it is in.
    """
    return any(
        "drop" in type(module).__name__.lower()
        or "stochasticdepth" in type(module).__name__.lower()
        or isinstance(getattr(module, "dropout", None), float)
        for module in model.modules()
        if (module.training or not now)
        and any(isinstance(rate := getattr(module, name, None), float) and rate > 0 for name in _RATES)
    )


class EqualStudents:
    """The students that start equal, see the same rows and are taught alike: warned of at the first training step.

    Then it is known whether anything parts them: dropout, wherever it is called, or weights that were drawn anew
    after the students were made. Nothing is said of a compiled task, whose answers are not looked at.

    Args:
        routes: which module each student takes.
        found: the students that start equal; `None` where something besides the network parts students.
        consults: who consults whom in a step, one function for each teacher.
    """

    def __init__(
        self, routes: Routes, found: Classes | None, consults: Sequence[Callable[[int], Tensor]] = ()
    ) -> None:
        paths = list(zip(*routes.table, strict=True))
        self.found = tuple(
            one
            for one in found or ()
            if len({paths[student] for student in one}) == 1  # draws cannot part what is one network
            or all(_taught_alike(one, consult) for consult in consults)
        )
        self._waits, self._looks = bool(self.found), found is not None

    def look(self, model: nn.Module, logits: Tensor, *, step: int) -> None:
        """Warn of students that nothing parts, at the first step, and of those that are alike after some steps.

        Args:
            model: the students' network.
            logits: (students, rows, ...) answers of a training pass in which all see the same rows.
            step: number of the step.
        """
        if torch.compiler.is_compiling():  # no guard on what follows
            return
        if self._waits:
            self._waits = False
            self._look_at_first(model, logits.detach())
        if self._looks and step == _LATER:
            alike = _alike(logits.detach())
            if alike:
                _warn(
                    f"{_named(alike, len(logits))} still answer alike after {step} steps, so that nothing is to be "
                    f"learnt from each other; {_WAYS_OUT}"
                )

    def _look_at_first(self, model: nn.Module, logits: Tensor) -> None:
        """Warn of students that answer alike in their first training pass; dropout may draw too seldom to tell."""
        if drops_something(model, now=True):
            return
        alike = [tuple(set(one) & set(other)) for one in self.found for other in _alike(logits)]
        equal = tuple(tuple(sorted(one)) for one in alike if len(one) > 1)
        if not equal:
            return
        start = f"{_named(equal, len(logits))} start with the same weights"
        if drops_something(model):
            _warn(
                f"{start} and see the same rows, and dropout is in evaluation mode, so that they would stay equal; "
                f"call train() on the task before training, or {_WAYS_OUT.removesuffix(', or dropout')}"
            )
            return
        self._looks = False  # it is known
        _warn(f"{start}, see the same rows and draw nothing, so that they would stay equal; {_WAYS_OUT}")


class Learners:
    """Warns of students none of whose parameters asks for a gradient: at once, and at the first training step."""

    def __init__(self, students: int, parameters_of: ParametersOf) -> None:
        self._known: set[int] | None = set()
        self._known = self._warn_of_others(students, parameters_of)

    def look(self, students: int, parameters_of: ParametersOf) -> None:
        """Warn, the first time, of students that were frozen since; nothing is said of a compiled task."""
        if torch.compiler.is_compiling() or self._known is None:
            return
        self._warn_of_others(students, parameters_of)
        self._known = None

    def _warn_of_others(self, students: int, parameters_of: ParametersOf) -> set[int]:
        fixed = {k for k in range(students) if not any(one.requires_grad for one in parameters_of(k))}
        new = tuple(sorted(fixed - (self._known or set())))
        if new:
            warnings.warn(
                f"{_named((new,), students)} cannot learn: no parameter asks for a gradient; call "
                "requires_grad_(True) on what is to learn, or make a fixed network a teacher (teachers.Frozen)",
                NoGradientWarning,
                stacklevel=5,
            )
        return fixed


def leave_behind(model: nn.Module) -> None:
    """Note a network of which students are copies: an optimiser that holds its parameters trains no student.

    One that makes its first step on parameters without a gradient, some of them such a network's, is warned of.
    """
    _given.update({id(parameter): parameter for parameter in model.parameters()})
    if not _hooks:
        _hooks.append(register_optimizer_step_pre_hook(_look))


def _look(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
    """Look at an optimiser once; one that takes a closure has no gradients yet."""
    if torch.compiler.is_compiling() or optimizer in _looked:
        return
    _looked.add(optimizer)
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    closure = kwargs.get("closure") or next(
        (one for one in args if callable(one) and one is not optimizer), None
    )
    if closure is None and all(p.grad is None for p in held) and any(id(p) in _given for p in held):
        warnings.warn(
            f"{type(optimizer).__name__} holds parameters of the network that was handed in, which have no gradient: "
            "students are copies of it, so that nothing learns; build the optimiser on the task's parameters()",
            NoGradientWarning,
            stacklevel=5,
        )


def _taught_alike(students: Sequence[int], consults: Callable[[int], Tensor]) -> bool:
    """Tell whether students who answer alike hear the same in every step: draws may part them."""
    for step in range(_DRAWS):
        table = consults(step)
        for one, other in combinations(students, 2):
            if table[one].sum() != table[other].sum():
                return False
            if len(students) < len(table) and table.shape[0] == table.shape[1]:
                swapped = table[other].clone()
                swapped[[one, other]] = swapped[[other, one]]
                if not torch.equal(table[one], swapped):
                    return False
    return True


def _alike(logits: Tensor) -> Classes:
    """Return the students whose answers are equal up to rounding; waits for the device."""
    if len(logits) < 2:
        return ()
    scale = logits.abs().amax()
    pairs = list(combinations(range(len(logits)), 2))
    near = torch.stack([(logits[a] - logits[b]).abs().amax() <= _CLOSE * scale for a, b in pairs]).tolist()
    first = list(range(len(logits)))
    for (a, b), same in zip(pairs, near, strict=True):
        if same and first[b] == b:
            first[b] = first[a]
    return classes(first)


def _named(found: Classes, students: int) -> str:
    if any(len(one) == students for one in found):
        return "all students" if students > 1 else "the student"
    sets = [" and ".join(filter(None, (", ".join(map(str, one[:-1])), str(one[-1])))) for one in found]
    return f"student{'s' * (len(found[0]) > 1)} {'; '.join(sets)}"


def _warn(text: str) -> None:
    warnings.warn(text, EqualStudentsWarning, stacklevel=4)
