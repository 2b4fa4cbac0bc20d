"""When two passes answer alike: up to the rounding of the precision that they are computed in."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from studygroup._engine.watch import Call

_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-2}
_HALF = 0.15


class Near:
    """A tolerance by precision.

    Args:
        model: the network: whether something in it is computed in half precision.
    """

    def __init__(self, model: nn.Module) -> None:
        self._low = _is_low(model)

    def loose(self, dtype: torch.dtype) -> float:
        """Return the share by which equal answers may differ."""
        return _HALF if self._low else _TOLERANCE.get(dtype, _HALF)

    def logits(self, first: Tensor, second: Tensor, *, tight: bool = False) -> bool:
        """Tell whether logits of one shape are alike, relative to the largest of all.

        Args:
            first: of one pass.
            second: of another.
            tight: whether both passes have computed the same with as many rows.
        """
        ours, alone = (values.detach().flatten(1).double() for values in (first, second))
        scale = max(float(values.abs().max()) for values in (ours, alone)) if ours.numel() else 0.0
        loose = self.loose(second.dtype) * (scale if scale < float("inf") else 1.0)
        if tight:
            loose /= 10 if self._low else 100
        return bool(torch.isclose(ours, alone, atol=loose, rtol=0.0, equal_nan=True).all())


def agree(group: Call, alone: Call, student: int, loose: Callable[[torch.dtype], float]) -> bool:
    """Tell whether a call of the group has the answers of a student alone, as far as both have rows."""
    if group.marks is None or alone.marks is None or group.rows is None or group.sizes != alone.sizes:
        return True
    if len(group.marks) != len(group.rows):
        return True
    places = group.rows.students[:, student].nonzero().flatten()
    places = places[group.rows.sample[places].argsort()]
    if len(places) != len(alone.marks):
        return True
    return close(group.marks[places.to(group.marks.device)], alone.marks, loose=loose(alone.marks.dtype))


def close(first: Tensor, second: Tensor, *, loose: float) -> bool:
    """Tell whether marks of equal shape are alike, relative to the length of each row."""
    size = torch.maximum(first[:, :1].abs(), second[:, :1].abs())
    far = (first - second).abs() > loose * size
    return not bool((far & torch.isfinite(size)).any())


def equal(first: Tensor, second: Tensor) -> bool:
    """Tell whether marks are the same to the last bit."""
    return first.shape == second.shape and bool(
        torch.isclose(first, second, rtol=0, atol=0, equal_nan=True).all()
    )


def _is_low(model: nn.Module) -> bool:
    """Tell whether something is computed in half precision."""
    devices = {"cpu"}
    for parameter in model.parameters():
        devices.add(parameter.device.type)
        if parameter.dtype in (torch.float16, torch.bfloat16):
            return True
    return any(torch.is_autocast_enabled(device) for device in devices if device != "meta")
