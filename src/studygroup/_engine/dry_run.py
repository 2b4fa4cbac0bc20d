"""The dry run: a pass of two rows that explores a network before the first real one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from studygroup._engine.capture import capturing, user_modules
from studygroup._engine.forward import call
from studygroup._engine.isolate import without_side_effects
from studygroup._engine.routed import ForwardState, RoutedLayer
from studygroup._engine.rows import BatchLayout
from studygroup.inputs import Inputs, answer, count_rows, first_tensor, sees_table, select

_ROWS = 2


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


def dry_run(
    model: nn.Module, routed: Mapping[str, RoutedLayer], inputs: Inputs, *, students: int
) -> Explored:
    """Run two rows through a network, without gradient and without side effects.

    Args:
        model: the network with its routed layers.
        routed: these layers, by name.
        inputs: a batch, as the model takes it.
        students: number of students.

    Raises:
        ValueError: a routed layer that the model never calls.
    """
    rows = count_rows(inputs)
    few = select(inputs, rows, lambda tensor: tensor[:_ROWS])
    apart = _apart_before_entry(model, routed.values(), few)
    table = sees_table(None, students=students, rows=min(rows, _ROWS))
    state = ForwardState(BatchLayout(table, apart=apart), rescale_gradients=False)
    linears = {name: None for name, module in user_modules(model) if isinstance(module, nn.Linear)}
    with (
        without_side_effects(model, training=False),
        capturing(model, linears, state, inputs=True) as called,
    ):
        call(model, select(few, min(rows, _ROWS), lambda tensor: state.layout.enter([tensor])[0]), state)
    never = [name for name in routed if name not in state.reached]
    if never:
        raise ValueError(
            f"layer {never[0]!r} is routed but the model never calls it, so its students would not differ; "
            "leave it out, or name the block that holds it"
        )
    return Explored(head=next(reversed(called), None), apart=apart)


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
        with without_side_effects(model, training=False):
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
