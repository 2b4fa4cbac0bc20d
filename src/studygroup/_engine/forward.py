"""One call of a network whose rows are in flight."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from studygroup._engine.routed import ForwardState, one_row_named, use_state
from studygroup._engine.uncompiled import as_written, compiler_loaded, each_length_by_itself
from studygroup._engine.walk import every_module
from studygroup.inputs import Inputs, answer, logits_of


def _other_logits(output: object) -> list[str]:
    """Return the names of the tensors in a named tuple, such as torchvision's GoogLeNet and Inception return."""
    fields = getattr(output, "_fields", ())
    return [name for name in fields if isinstance(getattr(output, name), Tensor)]


def holds_compiled_code(model: nn.Module) -> bool:
    """Tell whether a network, or a part of it, was compiled before it was handed in."""
    return compiler_loaded() and any("_orig_mod" in module._modules for module in every_module(model))


@contextmanager
def _compiled_code(model: nn.Module, state: ForwardState) -> Iterator[None]:
    """Run compiled parts as they are written until it is known what they ask the layout for."""
    if torch.compiler.is_compiling() or state.trial or not holds_compiled_code(model):
        yield
    elif state.layout.device is None or state.listens:
        with as_written():
            yield
    else:
        with each_length_by_itself():
            yield


def call(model: nn.Module, inputs: Inputs, state: ForwardState) -> Tensor:
    """Run a network with routed layers and return the logits of its rows in flight.

    Args:
        model: the network.
        inputs: its rows as they enter.
        state: where the rows stand; routed layers move it on.

    Returns:
        Logits of shape (rows in flight, ...).

    Raises:
        OneRowError: a norm in training mode that gets one row alone.
        ValueError: students that part inside a residual connection, or an output without logits for every row.
    """
    try:
        with one_row_named(state.layout.entry), use_state(state), _compiled_code(model, state):
            output = answer(model, inputs)
    except RuntimeError as error:
        counts = [count for count in set(state.counts) if re.search(rf"\b{count}\b", str(error))]
        if len(counts) < 2 or "must match" not in str(error):
            raise
        raise ValueError(
            f"rows do not fit after {next(reversed(state.reached))!r}: {error}. Students part inside a "
            "residual connection, or after a tensor that is used again; name the enclosing block instead"
        ) from error
    logits = logits_of(output)
    aside = [name for name in _other_logits(output) if name != "logits"]
    if aside:
        raise ValueError(
            f"the model returned {aside[0]!r} beside its logits ({type(output).__name__}), from which nothing would "
            "be learnt; build it without auxiliary heads (aux_logits=False), or use recipes.auxiliary_training"
        )
    if logits is None or logits.ndim < 2 or len(logits) != len(state.rows):
        found = type(output).__name__ if logits is None else tuple(logits.shape)
        raise ValueError(
            f"the model returned {found} for {len(state.rows)} rows; it must return logits of shape "
            "(rows, classes), or an output that has such .logits"
        )
    return logits
