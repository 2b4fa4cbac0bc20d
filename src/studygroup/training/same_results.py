"""Whether two runs came to the same: figures of every epoch, scores, and the weights that ship, bit by bit."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from studygroup.training.config import flat
from studygroup.training.folder import RunFolder
from studygroup.training.history import EpochRow, read_history
from studygroup.untrusted import check_file, read_text

_CLOCKED = ("seconds", "cpu_seconds", "rows_per_second", "tokens_per_second")
"""Columns that measure time."""
_SHOWN = 3
_AGAIN = "train the run again in a new folder"
_SCORES = ("holdout", "test", "shipped", "noise", "random_student")
_FACTS = ("students", "epochs", "updates", "train_rows", "classes", "form")


def differing_results(there: RunFolder, now: RunFolder) -> list[str]:
    """Return in words what differs between the results of two finished runs; nothing where all are the same.

    Raises:
        ValueError: a folder holds no finished run, or its files are damaged.
    """
    return [*_histories(there, now), *_scores(there, now), *_routes(there, now), *_weights(there, now)]


def _histories(there: RunFolder, now: RunFolder) -> Iterator[str]:
    some, other = read_history(there.metrics), read_history(now.metrics)
    if len(some) != len(other) or not some:
        yield f"history: {len(some)} epochs there, {len(other)} now"
        return
    for one, two in zip(some, other, strict=True):
        found = _differing(_figures(one), _figures(two))
        if found:
            yield f"history: from epoch {one.epoch} on ({_listed(found)})"
            return


def _figures(row: EpochRow) -> dict[str, float]:
    return {name: value for name, value in row.columns().items() if name not in _CLOCKED}


def _scores(there: RunFolder, now: RunFolder) -> Iterator[str]:
    found = _differing(_of_summary(there), _of_summary(now))
    if found:
        yield f"scores: {_listed(found)}"


def _of_summary(folder: RunFolder) -> dict[str, Any]:
    plain = folder.read_summary().to_plain()
    plain["random_student"] = plain["test"].get("random")
    kept = {name: plain[name] for name in _SCORES} | {name: plain["run"][name] for name in _FACTS}
    return dict(flat(kept))


def _routes(there: RunFolder, now: RunFolder) -> Iterator[str]:
    if _text(there.routes) != _text(now.routes):
        yield "routes: another table"


def _text(path: Path) -> str | None:
    try:
        return read_text(path, folder=path.parent)
    except FileNotFoundError:
        return None
    except UnicodeError as error:
        raise ValueError(f"{path} cannot be read ({error}); {_AGAIN}") from error


def _differing(some: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    return [
        f"{name} {some.get(name)} there, {other.get(name)} now"
        for name in dict.fromkeys([*some, *other])
        if not _equal(some.get(name), other.get(name))
    ]


def _equal(one: Any, two: Any) -> bool:
    """Return whether two figures are equal; those that are not a number are."""
    if isinstance(one, float) and isinstance(two, float) and math.isnan(one) and math.isnan(two):
        return True
    return bool(one == two)


def _listed(found: list[str]) -> str:
    return "; ".join(found[:_SHOWN]) + (f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")


def _weights(there: RunFolder, now: RunFolder) -> Iterator[str]:
    some, other = read_tensors(there.weights), read_tensors(now.weights)
    alone = sorted(some.keys() ^ other.keys())
    if alone:
        yield f"shipped weights: {_listed(alone)} in one of both alone"
    both = [name for name in some if name in other]
    wrong = [name for name in both if not same_bits(some[name], other[name])]
    if wrong:
        by = max(_distance(some[name], other[name]) for name in wrong)
        yield f"shipped weights: {len(wrong)} of {len(both)} tensors ({_listed(wrong)}), by {by:.3g} at most"


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors that a run ships.

    Raises:
        ValueError: the file is damaged.
    """
    check_file(path, folder=path.parent)
    try:
        return load_file(path)
    except Exception as error:  # safetensors raises its own on a damaged file
        raise ValueError(f"{path} cannot be read ({error}); {_AGAIN}") from error


def same_bits(one: Tensor, two: Tensor) -> bool:
    """Return whether two tensors on the CPU have one type, one shape and the same bits."""
    if one.dtype != two.dtype or one.shape != two.shape:
        return False
    return torch.equal(*(some.contiguous().reshape(-1).view(torch.uint8) for some in (one, two)))


def _distance(one: Tensor, two: Tensor) -> float:
    if one.shape != two.shape:
        return math.inf
    return float((one.double() - two.double()).abs().max()) if one.numel() else 0.0
