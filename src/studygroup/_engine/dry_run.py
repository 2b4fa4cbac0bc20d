"""A dry run: passes of a few rows that explore a network, and compare the group with each student alone."""

import random
import sys
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from studygroup._engine.attributes import Attributes
from studygroup._engine.capture import capturing, user_modules
from studygroup._engine.different_rows import different
from studygroup._engine.forward import call
from studygroup._engine.isolate import dry_training, without_side_effects
from studygroup._engine.refusal import input_named
from studygroup._engine.routed import ForwardState, RoutedLayer
from studygroup._engine.row_inputs import Batch
from studygroup._engine.rows import BatchLayout, manner
from studygroup._engine.self_check import PartingError, SelfCheck, Together
from studygroup._engine.watch import Watch, told_apart
from studygroup.inputs import Inputs, answer, first_tensor

P = ParamSpec("P")
R = TypeVar("R")
_OF_NO_GRADIENT = "None of the inputs have requires_grad=True"  # torch's, of activations to be computed again
_ROWS = (2, 3, 4)  # of each student; one more where a size of the network may be that by chance


@dataclass(frozen=True)
class Explored:
    """The findings of a dry run.

    Attributes:
        head: name of the last `nn.Linear` that the network calls; `None` where it calls none.
        apart: number of each student's sub-group, where students part before they enter the network; empty where all
            enter together.
    """

    head: str | None
    apart: tuple[int, ...]


def _not_compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Keep a function out of the graphs of `torch.compile`; the compiler is imported only where it is at work."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if torch.compiler.is_compiling():
            found: R = torch.compiler.disable(function)(*args, **kwargs)  # type: ignore[no-untyped-call]
            return found
        return function(*args, **kwargs)

    return run


@_not_compiled
def dry_run(
    model: nn.Module,
    routed: Mapping[str, RoutedLayer],
    batch: Batch,
    *,
    sees: Bool[Tensor, "students rows"],
    training: bool,
    unread: Collection[bool],
) -> Explored:
    """Run a few rows through a network and through each student alone, without gradient and without side effects.

    First in evaluation, then, where asked for, as in training, with batch norms in evaluation: a group takes their
    statistics over the rows of all students, and shows that by design. Nothing is drawn.

    Args:
        model: the network with its routed layers.
        routed: these layers, by name.
        batch: a batch, as the model takes it.
        sees: which student sees which of its rows: the few rows are seen in the same manner.
        training: whether the network's modules are compared in their own modes too.
        unread: modes, `True` for training, in which the network is run for the first time: there the parameters that
            are read are compared too.

    Raises:
        InputError: a batch that the network itself cannot take.
        ValueError: a routed layer that the model never calls, a group that answers otherwise than its students, or
            what the pass itself refuses.
    """
    attributes = Attributes(model)
    with ExitStack() as stack:
        stack.enter_context(_eager())
        stack.enter_context(_other_random_states())
        stack.callback(attributes.put_back)
        with without_side_effects(model, training=False) as put_back:
            one = batch.index([0, 0])  # norms over the batch refuse a single row
            with input_named(model, one):
                apart = _apart_before_entry(model, routed.values(), one.inputs)
            head = _compared(
                model, routed, batch, sees, apart, [put_back, attributes.put_back], reads=False in unread
            )
        if training:
            with dry_training(model, training=None) as put_back, warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=_OF_NO_GRADIENT)
                undo = [put_back, attributes.put_back]
                _compared(model, routed, batch, sees, apart, undo, reads=True in unread, training=True)
    return Explored(head=head, apart=apart)


def _compared(
    model: nn.Module,
    routed: Mapping[str, RoutedLayer],
    batch: Batch,
    sees: Tensor,
    apart: tuple[int, ...],
    undo: Sequence[Callable[[], None]],
    *,
    reads: bool,
    training: bool = False,
) -> str | None:
    """Compare the group with its students in one mode, and return the name of the head."""
    watch = Watch()
    with told_apart(routed.values()), watch.on(model):
        check = SelfCheck(model, routed.values(), watch, undo=undo, reads=reads, training=training)
        trial = _Trial(model, routed, check, watch, apart)
        for rows in (counts := _ROWS[training : training + 2]):
            try:
                return trial.run(batch, sees, rows)
            except PartingError:
                if rows == counts[-1]:
                    raise
    raise AssertionError("unreachable")


@dataclass(frozen=True)
class _Trial:
    """A pass of the group, compared with each student."""

    model: nn.Module
    routed: Mapping[str, RoutedLayer]
    check: SelfCheck
    watch: Watch
    apart: tuple[int, ...]

    def run(self, batch: Batch, sees: Tensor, rows: int) -> str | None:
        """Run a few rows for each student, and return the name of the head."""
        places, table = few(sees, rows)
        given = batch.index(places)
        changed = different(given)
        if changed is not None and self.check.refusal(changed, 0) is None:
            given = changed
        layout = BatchLayout(table, apart=self.apart)
        linears = {name: None for name, module in user_modules(self.model) if isinstance(module, nn.Linear)}
        inputs, entering, whole = enter(given, layout)
        state = ForwardState(layout, rescale_gradients=False, entering=entering, whole=whole, trial=True)
        self.watch.clear(lambda: state.rows)
        try:
            with (
                capturing(self.model, linears, state, inputs=True) as called,
                self.check.passing() as reading,
            ):
                logits = call(self.model, inputs, state)
        except Exception as error:
            own = self.check.refusal(given, 0)
            if own is not None:
                with input_named(self.model, given):
                    raise own from None
            if isinstance(error, ValueError):
                raise
            raise self.check.stopped(state, error) from error
        never = [name for name in self.routed if name not in state.reached]
        if never:
            mode = " in training" if self.check.training else ""
            raise ValueError(
                f"layer {never[0]!r} is routed but the model never calls it{mode}, so its students would not differ; "
                "leave it out, or name the block that holds it"
            )
        together = Together(state, layout.scatter([(state.rows, logits)]), self.watch.calls, reading.times)
        if self.check.compare(together, given, table):
            for arguments in state.entered_alone:
                arguments.allow_entered()
        for arguments, path, shape, kind in state.notes:
            arguments.note(path, shape, kind)
        return next(reversed(called), None)


def enter(batch: Batch, layout: BatchLayout) -> tuple[Inputs, tuple[int, ...], tuple[int, ...]]:
    """Return the inputs of the rows that enter, and the `id` of what in them carries rows and of what does not."""
    entering: list[Any] = []

    def tensor(value: Tensor) -> Tensor:
        entered = layout.enter([value])[0]
        entering.append(entered)
        return entered

    def items(value: Any) -> Any:
        return [value[place] for place in layout.entry.sample.tolist()]

    inputs = batch.map(tensor, items)
    entered = batch.with_inputs(inputs)
    return (
        inputs,
        tuple([id(part) for part in entered.parts(carrying=True)]),
        tuple([id(part) for part in entered.parts(carrying=False)]),
    )


def few(sees: Bool[Tensor, "students rows"], rows: int) -> tuple[list[int], Bool[Tensor, "students few"]]:
    """Choose a few rows of a batch, seen in the same manner: by all, by one owner each, or as they are.

    Args:
        sees: which student sees which row.
        rows: how many of each student.

    Returns:
        Their places, one perhaps several times, and which student sees which of them.
    """
    students, there = sees.shape
    seen = sees.any(0).nonzero().flatten().tolist()
    seen_by = manner(sees)
    if seen_by == "all":
        return [place % there for place in range(rows)], torch.ones(students, rows, dtype=torch.bool)
    if seen_by == "one":
        places = [seen[place % len(seen)] for place in range(rows * students)]
        return places, torch.eye(students, dtype=torch.bool).repeat(1, rows)
    chosen = sorted({int(place) for own in sees for place in own.nonzero().flatten()[:rows]})
    return chosen, sees[:, chosen]


class _ReachedError(Exception):
    """Raised when the first routed layer is reached, with its first tensor."""


def _apart_before_entry(model: nn.Module, layers: Iterable[RoutedLayer], inputs: Inputs) -> tuple[int, ...]:
    """Find which students part before entry: those of the first routed layer, if it takes the token ids themselves.

    Nothing is computed before an embedding. What a model derives from its other inputs after it, such as masks, then
    has as many rows as its output.
    """
    given = [inputs] if isinstance(inputs, Tensor) else list(inputs.values())

    def stop(layer: nn.Module, args: object, kwargs: object) -> None:
        raise _ReachedError(layer, first_tensor((args, kwargs)))

    hooks = [layer.register_forward_pre_hook(stop, with_kwargs=True) for layer in layers]
    try:
        answer(model, inputs)
    except _ReachedError as reached:
        layer, batch = reached.args
        ids = batch is not None and not batch.is_floating_point()
        if layer.has_state and ids and any(batch is item for item in given):
            return tuple(layer.choice)
    finally:
        for hook in hooks:
            hook.remove()
    return ()


@contextmanager
def _eager() -> Iterator[None]:
    """Run compiled parts of a network as they are written; there are none while nobody has loaded the compiler."""
    with torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext():
        yield


@contextmanager
def _other_random_states() -> Iterator[None]:
    """Put the random states of Python and NumPy back."""
    own = random.getstate()
    numpy = sys.modules.get("numpy")
    other = None if numpy is None else numpy.random.get_state()
    try:
        yield
    finally:
        random.setstate(own)
        if numpy is not None:
            numpy.random.set_state(other)
