"""Loads a finished run to ask its networks."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from studygroup.analysis.base import Finished
from studygroup.data import Data, Split
from studygroup.inputs import Inputs
from studygroup.training.export import trained_task
from studygroup.training.feed import Feed
from studygroup.training.folder import RunFolder
from studygroup.training.run import cpu_threads
from studygroup.training.settings import Settings
from studygroup.training.ship import load_net, reestimate_bn


@contextmanager
def opened(
    run: Path, *, split: Literal["test", "holdout"] = "test", rows: int | None = None, device: str = "auto"
) -> Iterator[Finished]:
    """A finished run, on as many CPU threads as it was trained with.

    Args:
        run: the run folder.
        split: which rows; held-out ones come with the labels that the run chose by, noise included.
        rows: the first so many; omitted, all.
        device: where to compute; `auto` is CUDA where there is one, else the CPU.

    Raises:
        ValueError: no finished run lies there, its files or data are damaged, or no rows are asked for.
    """
    folder = RunFolder(run)
    summary, settings = folder.read_summary(), Settings.from_config(folder.read_config())
    place = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    with cpu_threads(settings.threads):
        data = settings.load_data()
        part = _first(data.test if split == "test" else data.holdout, rows)
        feed = settings.build_feed(data)
        yield Finished(
            shipped=load_net(folder.weights).to(place),
            student=summary["shipped"]["student"],
            students=partial(_students, settings, data, folder, place),
            batches=_Scored(feed, part, place),
            rows=len(part),
            reestimate=partial(_reestimate, settings, data, feed, place),
        )


@dataclass(frozen=True)
class _Scored:
    """Rows of a split, from the first at every `iter`."""

    feed: Feed
    split: Split
    device: torch.device

    def __iter__(self) -> Iterator[tuple[Inputs, Tensor]]:
        return self.feed.scored(self.split, self.device)


def _first(split: Split, rows: int | None) -> Split:
    if rows is None:
        return split
    if rows < 1:
        raise ValueError(f"rows is {rows}; give at least 1, or leave it out for all {len(split)}")
    return split.take(torch.arange(min(rows, len(split))))


def _students(
    settings: Settings, data: Data, folder: RunFolder, device: torch.device
) -> tuple[nn.Module, ...]:
    group = trained_task(settings, data, folder).shipped
    return tuple(group.export(student).eval().to(device) for student in range(group.students))


def _reestimate(settings: Settings, data: Data, feed: Feed, device: torch.device, net: nn.Module) -> None:
    reestimate_bn(net, feed, settings.build_task(data), device=device)  # the task says how rows are batched
