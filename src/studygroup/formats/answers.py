"""The answers of a network, and their comparison with those of its exported form."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from studygroup._engine.copying import duplicate
from studygroup._engine.isolate import without_side_effects
from studygroup.formats.facts import Facts
from studygroup.inputs import Inputs, count_rows, logits, select

_APART = 1e-4  # of the largest logit, or of 1: single precision in another order


@contextmanager
def evaluated(net: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode, without gradient, within the block."""
    with without_side_effects(net, training=False):
        yield


def check_classes(net: nn.Module, example: Inputs, facts: Facts) -> None:
    """Refuse names of classes that are not one for each logit, and pictures of another shape.

    Raises:
        ValueError: another number of classes, or an example of another shape.
    """
    with evaluated(net):
        found = logits(net, example).shape
    if not -len(found) <= facts.class_axis < len(found) or found[facts.class_axis] != len(facts.classes):
        raise ValueError(
            f"the network has logits of shape {tuple(found)} and there are {len(facts.classes)} names of classes, on "
            f"axis {facts.class_axis}; name each class once, in the order of the logits, and give class_axis=-1 "
            "where classes come last, as for tokens"
        )
    if (
        facts.shape is not None
        and isinstance(example, Tensor)
        and tuple(example.shape[1:]) != tuple(facts.shape)
    ):
        raise ValueError(
            f"the example has pictures of shape {tuple(example.shape[1:])}, where the shape given is "
            f"{tuple(facts.shape)}; give both alike"
        )


def check_same(net: nn.Module, asked: Callable[[Inputs], Tensor], example: Inputs, where: Path) -> None:
    """Compare the exported network's answers with the network's own: on an example, its first row, and short rows.

    Short are rows of one token, where both take them: a graph may have kept what the network does with longer ones.

    Raises:
        ValueError: other answers.
    """
    rows = count_rows(example)
    for some in (example, select(example, rows, lambda tensor: tensor[:1])):
        _compare(*_both(net, asked, some), where, "")
    if not isinstance(example, Tensor):
        short = select(example, rows, lambda tensor: tensor[:, :1] if tensor.ndim > 1 else tensor)
        try:
            found = _both(net, asked, short)
        except Exception:  # of the network's, or of the graph's, which is for one length alone and says so
            return
        _compare(*found, where, " to rows of one token")


def _both(net: nn.Module, asked: Callable[[Inputs], Tensor], inputs: Inputs) -> tuple[Tensor, Tensor]:
    """Return the answers of the network and of its exported form."""
    with evaluated(net):
        expected = logits(net, inputs).cpu().double()
    with torch.no_grad():
        return expected, asked(inputs).cpu().double()


def _compare(expected: Tensor, found: Tensor, where: Path, to: str) -> None:
    allowed = _APART * max(1.0, float(expected.abs().max()))
    apart = float((found - expected).abs().max()) if found.shape == expected.shape else float("nan")
    if not apart <= allowed:
        raise ValueError(
            f"{where.name} answers otherwise than the network{to} (shape {tuple(found.shape)} for "
            f"{tuple(expected.shape)}, {apart:.2g} apart where {allowed:.2g} is rounding), so nothing was "
            "written; give another format"
        )


def in_single(net: nn.Module, example: Inputs) -> tuple[nn.Module, Inputs]:
    """Return network and example in single precision if they are in half precision; otherwise unchanged."""
    half = (torch.float16, torch.bfloat16)
    if not any(one.dtype in half for one in net.parameters()):
        return net, example
    rows = count_rows(example)
    return duplicate(net).float(), select(
        example, rows, lambda one: one.float() if one.dtype in half else one
    )


def traced(example: Inputs, forward: Callable[..., Any]) -> dict[str, Any]:
    """Return `args`, `kwargs` and `dynamic_shapes` of `torch.export`: rows are free, and tokens if possible."""
    sizes, parameters = torch.export.Dim, inspect.signature(forward).parameters
    if isinstance(example, Tensor):
        one: Any = ({0: sizes("rows")},)
        first = next(iter(parameters.values()))
        alone = (one,) if first.kind is inspect.Parameter.VAR_POSITIONAL else one
        return {"args": (example,), "kwargs": {}, "dynamic_shapes": alone}
    # some networks fix the length
    shapes: dict[str, Any] = {
        name: {0: sizes.DYNAMIC, **({1: sizes.AUTO} if value.ndim > 1 else {})}
        for name, value in example.items()
    }
    if not parameters.keys() & example.keys():
        raise ValueError(
            f"its forward names none of {', '.join(example)}, and a graph of inputs without names cannot be asked; "
            "hand in a network whose forward names its inputs"
        )
    return {"args": (), "kwargs": dict(example), "dynamic_shapes": shapes}


def not_traced(net: nn.Module, error: Exception) -> ValueError:
    """Return the error that says why a network has no graph."""
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return ValueError(
        f"{type(net).__name__} cannot be traced as one graph ({said:.400}); give the format safetensors, or pickle"
    )
