"""Many small trainings in parallel on one device, each in its own process, all finished in time."""

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import multiprocessing

from reproduction.gpu.budget import Clock
from reproduction.gpu.pictures import Pictures, load
from reproduction.gpu.training import Run, seconds_of, whole_schedule

SHARE = 0.85  # of the remaining time: measured steps do not account for everything
_TIMED_STEPS = 10


@runtime_checkable
class Cell(Protocol):
    """The work of one process; it can be pickled, because it is sent there."""

    def run(self, pictures: Pictures) -> Run:
        """Return a new training."""


@dataclass(frozen=True)
class Place:
    """The place where all cells find their pictures.

    Attributes:
        data: what `prepare` wrote.
        device: the device of pictures and networks.
        most_epochs: maximum number of epochs.
    """

    data: Path
    device: str
    most_epochs: int = 200


class Pool:
    """A context manager of so many processes that wait for cells."""

    def __init__(self, place: Place, workers: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.place, self._round = place, 0
        self._orders = [context.SimpleQueue() for _ in range(workers)]
        self._answers = context.Queue()
        self._processes = [
            context.Process(target=_work, args=(number, place, orders, self._answers), daemon=True)
            for number, orders in enumerate(self._orders)
        ]

    def __enter__(self) -> "Pool":
        """Start all processes."""
        for process in self._processes:
            process.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End them, whatever they are doing."""
        for process in self._processes:
            process.kill()

    def train(
        self, cells: Sequence[Cell], seconds: float, write: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any]:
        """Train all cells at once, for the same number of epochs: as many as fit by steps measured while all run.

        What is not finished after so many seconds is not scored; `write` is given the part so far.

        Returns:
            `epochs`, `measured` seconds by the cell's number, `results` by the cell's number, `not_done`.

        Raises:
            ValueError: more cells than processes.
        """
        if len(cells) > len(self._orders):
            raise ValueError(f"{len(cells)} cells for {len(self._orders)} processes; start as many as cells")
        start = time.monotonic()
        end = start + seconds
        part: dict[str, Any] = {"seconds_given": round(seconds, 1), "results": {}, "not_done": len(cells)}
        self._round += 1
        for orders, cell in zip(self._orders, cells, strict=False):
            orders.put((self._round, cell))
        found = dict(sorted(self._answered(len(cells), end)))
        part["results"] = {number: what for number, what in found.items() if "error" in what}
        part["measured"] = {number: what for number, what in found.items() if "error" not in what}
        left = end - time.monotonic()
        part["seconds_left"] = round(left, 1)
        part["epochs"] = min(self.place.most_epochs, epochs_that_fit(list(part["measured"].values()), left))
        write(part)
        self._round += 1
        for number in part["measured"]:
            self._orders[number].put((self._round, (part["epochs"], end)))
        for number, what in self._answered(len(part["measured"]), end):
            part["results"][number] = what
            part["not_done"] = len(cells) - len(part["results"])
            write(part)
        part["seconds"] = round(time.monotonic() - start, 1)
        write(part)
        return part

    def _answered(self, count: int, end: float) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the answers of processes in this round until all have answered, or the time is over."""
        while count:
            try:
                of, number, found = self._answers.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                return
            if of == self._round:  # others are late answers of an earlier round
                count -= 1
                yield number, found


def epochs_that_fit(measured: Sequence[dict[str, float]], left: float) -> int:
    """Return the number of epochs that fit the slowest cell, by the time of each while all others run."""
    if not measured:
        return 0
    epoch = [found["step"] * found["steps"] for found in measured]
    scoring = max(found["scoring"] for found in measured)
    return max(0, int((left * SHARE - scoring) / max(epoch)))


def _work(number: int, place: Place, orders: Any, answers: Any) -> None:
    """Measure a cell or train the last one, as ordered."""
    torch.set_num_threads(1)
    pictures = load(place.data, torch.device(place.device))
    cell: Cell | None = None
    found: dict[str, Any]
    while True:
        of, order = orders.get()
        try:
            if isinstance(order, tuple):
                assert cell is not None
                epochs, end = order
                found = whole_schedule(cell.run(pictures), epochs, Clock(end - time.monotonic()))
            else:
                cell = order
                found = dict(_measured(order, pictures))
        except Exception as error:
            found = {"error": f"{type(error).__name__}: {error}"[:500]}
        answers.put((of, number, found))


def _measured(cell: Cell, pictures: Pictures) -> dict[str, float]:
    run = cell.run(pictures)
    found = seconds_of(run, steps=_TIMED_STEPS)
    rows = sum(len(pictures.labels[split]) for split in ("holdout", "test"))
    return {"step": found["step"], "steps": float(run.steps), "scoring": found["scored_row"] * rows}
