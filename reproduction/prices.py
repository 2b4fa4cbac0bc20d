"""Measured prices of runs: a file beside the results."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.environment import provenance
from reproduction.results import add_entry, entries

_FILE = "prices.json"


@dataclass(frozen=True)
class Price:
    """What a run takes on the machine where it was measured, as busy as that was.

    Attributes:
        step: seconds of a training step.
        updates: steps in all.
        scoring: seconds of scoring one batch with all students.
        batches: batches scored in all: the hold-out rows once an epoch, the test rows once.
        machine: what it was measured on.
    """

    step: float
    updates: int
    scoring: float
    batches: int
    machine: str

    @property
    def hours(self) -> float:
        """Of the run, without loading the data."""
        return (self.step * self.updates + self.scoring * self.batches) / 3600


def known(folder: Path) -> Mapping[str, Price]:
    """The prices that were measured, by key of the configuration.

    Args:
        folder: of the results; a missing one has none.

    Raises:
        ValueError: the file is damaged.
    """
    path = folder / _FILE
    try:
        return {key: Price(**price) for key, price in entries(path).items()}
    except TypeError as error:
        raise ValueError(
            f"{path} holds no prices ({error}); remove it, `python -m reproduction plan` measures again"
        ) from error


def add(folder: Path, key: str, price: Price) -> None:
    """Keeps a price, in the place of an earlier one.

    Args:
        folder: of the results.
        key: of the configuration.
        price: of one run.
    """
    add_entry(folder / _FILE, key, asdict(price))


def machine() -> str:
    """The processor that steps are measured on."""
    here = provenance()
    return str(here["gpu"] or here["cpu"])
