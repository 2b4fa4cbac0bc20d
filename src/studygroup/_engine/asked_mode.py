"""Whether passes ask for the mode of a network, other than for what is the same for every row."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

_OWN = "studygroup._engine."
_TORCHS = (
    "torch.nn.modules."  # dropout, and norms of each row; batch norms are in one mode in all comparisons
)
_KNOWN = {"StochasticDepth.forward": ("torchvision.",), "DropPath.forward": ("timm.",)}
_ATTENTION = ("torchvision.", "timm.", "transformers.")  # ask for the rate of dropout alone
_lock = threading.Lock()
_inside = [0]
_notes = threading.local()


@dataclass
class AskedMode:
    """What has asked for the mode.

    Attributes:
        compared: modules that are in another mode in training than in evaluation, batch norms aside.
        asked: whether something has asked one of them, whose answer might then depend on the mode.
    """

    compared: set[int] = field(default_factory=set)
    asked: bool = False


@contextmanager
def asking_for_mode(model: nn.Module) -> Iterator[AskedMode]:
    """Note whether passes inside ask for the mode of a module.

    Dropout, stochastic depth, attention and norms of torch and of the libraries around it are known to do in training
    what they do in evaluation, row by row, where nothing is drawn. Whatever else reads `training` counts: code of the
    user's network, a hook, a function.

    Args:
        model: a network in its own mode.
    """
    noted = AskedMode({id(m) for m in model.modules() if m.training and not isinstance(m, _BatchNorm)})
    noted.asked = any(_hides_mode(module) for module in model.modules())
    before = getattr(_notes, "active", None)
    _notes.active = noted
    with _lock:
        _inside[0] += 1
        # the frame before that of the lambda is that of the code which asks
        nn.Module.training = property(  # type: ignore[assignment]
            lambda module: _read(module, sys._getframe(1)), _write
        )
    try:
        yield noted
    finally:
        _notes.active = before
        with _lock:
            _inside[0] -= 1
            if not _inside[0]:
                del nn.Module.training


def _hides_mode(module: nn.Module) -> bool:
    """Tell whether a module's mode is read where that is not seen: in a script, or a property of its own."""
    own = any("training" in vars(one) for one in type(module).__mro__ if one is not nn.Module)
    return own or isinstance(module, torch.jit.ScriptModule)


def _read(module: nn.Module, asking: Any) -> bool:
    try:
        value: bool = module.__dict__["training"]
    except KeyError:
        raise AttributeError("training") from None
    noted: AskedMode | None = getattr(_notes, "active", None)
    if noted is not None and not noted.asked and id(module) in noted.compared:
        noted.asked = not _is_known(asking)
    return value


def _write(module: nn.Module, value: bool) -> None:
    module.__dict__["training"] = value


def _is_known(frame: Any) -> bool:
    """Tell whether code does the same for every row in both modes."""
    home, code = f"{frame.f_globals.get('__name__')}.", frame.f_code
    name = getattr(code, "co_qualname", None)  # from Python 3.11 on
    name = name or f"{type(frame.f_locals.get('self')).__qualname__}.{code.co_name}"
    others = _ATTENTION if name.endswith("Attention.forward") else _KNOWN.get(name, ())
    return home.startswith((_OWN, _TORCHS, *others))
