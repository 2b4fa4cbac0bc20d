"""The hours that runs will take, from one measured step of each configuration, before anything is trained."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from reproduction.benchmarks.environment import provenance
from reproduction.lab import Lab
from reproduction.results import add_entry, read_entries
from reproduction.runner import Run
from studygroup.data import UnavailableError
from studygroup.training.computing import computing
from studygroup.training.grid import for_each, say
from studygroup.training.scores import score
from studygroup.training.settings import Settings
from studygroup.training.step_cost import measure_step_cost

_FILE = "prices.json"


@dataclass(frozen=True)
class Price:
    """The time of a run on the machine where it was measured, under its load at that time.

    Attributes:
        step: seconds of a training step.
        updates: total number of steps.
        scoring: seconds of scoring one batch with all students.
        batches: total number of scored batches: the hold-out rows once per epoch, the test rows once.
        machine: the machine it was measured on.
    """

    step: float
    updates: int
    scoring: float
    batches: int
    machine: str

    @property
    def hours(self) -> float:
        """Hours of the run, without loading the data."""
        return (self.step * self.updates + self.scoring * self.batches) / 3600


def read_prices(folder: Path) -> Mapping[str, Price]:
    """Read the prices that were measured, by key of the configuration; a missing folder has none.

    Raises:
        ValueError: the file is damaged.
    """
    path = folder / _FILE
    try:
        return {key: Price(**price) for key, price in read_entries(path).items()}
    except TypeError as error:
        raise ValueError(
            f"{path} holds no prices ({error}); remove it, `python -m reproduction plan` measures again"
        ) from error


def add_price(folder: Path, key: str, price: Price) -> None:
    """Save the price of a configuration, replacing an earlier one."""
    add_entry(folder / _FILE, key, asdict(price))


def measure_prices(runs: Sequence[Run], lab: Lab) -> Mapping[str, Price]:
    """Measure the time of one run of each configuration on this machine, by key; once, and saved with the results.

    Configurations whose data cannot be opened are named and left out, unless there are no others.

    Raises:
        ValueError: data, network or recipe do not fit together; the file of prices is damaged.
    """
    own = _machine()
    here = {key: price for key, price in read_prices(lab.results_dir).items() if price.machine == own}

    def one(run: Run) -> None:
        if run.key not in here:
            say(f"measuring a step: {run.cell.label}")
            settings = lab.settings(run.cell, seed=0)
            with computing(settings):
                here[run.key] = _price(settings)
            add_price(lab.results_dir, run.key, here[run.key])

    try:
        for_each(runs, one)
    except UnavailableError as error:
        if not any(run.key in here for run in runs):
            raise
        say(f"left out: {error}")
    return {run.key: here[run.key] for run in runs if run.key in here}


def _price(settings: Settings) -> Price:
    """Measure one step and the scoring of one batch."""
    device, data = settings.device, settings.load_data()
    task, datamodule = settings.build_task(data), settings.build_datamodule(data)
    updates = len(datamodule.training_batches(task, epoch=0))
    held, tested = (
        len(datamodule.evaluation_loader(data.holdout)),
        len(datamodule.evaluation_loader(data.test)),
    )
    batch = next(datamodule.evaluation_batches(data.holdout, device))
    task.to(device)
    seconds = []
    for _ in range(2):  # the first warms up
        start = time.perf_counter()
        score(task.shipped, [batch], students=task.group.students)
        seconds.append(time.perf_counter() - start)
    return Price(
        step=measure_step_cost(settings, data, device=device, repeats=1).seconds,
        updates=updates * settings.epochs,
        scoring=seconds[-1],
        batches=held * settings.epochs + tested,
        machine=_machine(),
    )


def _machine() -> str:
    here = provenance()
    return str(here["gpu"] or here["cpu"])
