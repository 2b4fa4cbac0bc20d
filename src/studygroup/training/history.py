"""The epochs' figures, as `metrics.csv` and a checkpoint hold them."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studygroup.trust import NotAllowedError
from studygroup.untrusted import read_text

_STUDENTS = ("supervised", "imitation", "holdout")
_OF_ALL = {
    "ensemble": "holdout_ensemble",
    "diversity": "holdout_diversity",
    "disagreement": "holdout_disagreement",
}
_NAMED = {"objectives": "auxiliary_", "teachers": "listen_", "metrics": "metric_"}


@dataclass(frozen=True, kw_only=True)
class EpochRow:
    """The figures of one epoch.

    Attributes:
        epoch: number, from 1.
        updates: updates of a student so far.
        seconds: seconds of training in this epoch, without scoring.
        rows_per_second: rows trained on per second.
        lr: learning rate of the last update.
        imitation_weight: weight of the imitation at the last update.
        loss: total loss, mean over updates.
        supervised: supervised loss of each student, mean over its rows.
        imitation: imitation loss of each student, likewise.
        holdout: accuracy of each student on the hold-out rows, in [0, 1].
        ensemble: the same of the mean of their probabilities.
        diversity: mean L2 distance of their probabilities, in [0, √2].
        disagreement: share of rows on which two students name different classes, in [0, 1].
        cpu_seconds: processor time of training in this epoch; None in runs that did not take it.
        tokens_per_second: tokens trained on per second; None for pictures.
        padding: share of positions without a token, in [0, 1]; None for pictures.
        objectives: means of further losses, by name.
        teachers: means of the teachers' own figures, by name.
        metrics: metrics on the hold-out rows, as `f1_0` of the first student and `f1_ensemble`.
    """

    epoch: int
    updates: int
    seconds: float
    rows_per_second: float
    lr: float
    imitation_weight: float
    loss: float
    supervised: tuple[float, ...]
    imitation: tuple[float, ...]
    holdout: tuple[float, ...]
    ensemble: float
    diversity: float
    disagreement: float
    cpu_seconds: float | None = None
    tokens_per_second: float | None = None
    padding: float | None = None
    objectives: Mapping[str, float] = field(default_factory=dict)
    teachers: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def holdout_mean(self) -> float:
        """Mean accuracy of the students on the hold-out rows."""
        return sum(self.holdout) / len(self.holdout)

    @property
    def holdout_best(self) -> float:
        """Accuracy of the best student on the hold-out rows."""
        return max(self.holdout)

    def columns(self) -> dict[str, float]:
        """Return the figures by the column names of `metrics.csv`."""
        own: dict[str, float | None] = {
            **{name: getattr(self, name) for name in ("epoch", "updates", "seconds", "cpu_seconds")},
            **{name: getattr(self, name) for name in ("rows_per_second", "lr", "imitation_weight", "loss")},
            "holdout_mean": self.holdout_mean,
            "holdout_best": self.holdout_best,
            **{column: getattr(self, name) for name, column in _OF_ALL.items()},
            **{f"{name}_{k}": value for name in _STUDENTS for k, value in enumerate(getattr(self, name))},
            "tokens_per_second": self.tokens_per_second,
            "padding": self.padding,
            **{prefix + key: v for name, prefix in _NAMED.items() for key, v in getattr(self, name).items()},
        }
        return {name: value for name, value in own.items() if value is not None}

    @classmethod
    def from_columns(cls, columns: Mapping[str, float]) -> "EpochRow":
        """Read figures by the column names of `metrics.csv`, of any version since 0.1.0.

        Raises:
            ValueError: a column is missing.
        """
        try:
            students = range(sum(name.removeprefix("holdout_").isdigit() for name in columns))
            given: dict[str, Any] = {name: columns[column] for name, column in _OF_ALL.items()}
            given |= {name: tuple(columns[f"{name}_{k}"] for k in students) for name in _STUDENTS}
            for name in ("seconds", "rows_per_second", "lr", "imitation_weight", "loss"):
                given[name] = columns[name]
            for name in ("epoch", "updates"):
                given[name] = int(columns[name])
        except KeyError as error:
            raise ValueError(f"the column {error} is missing") from error
        for name in ("cpu_seconds", "tokens_per_second", "padding"):
            given[name] = columns.get(name)
        for name, prefix in _NAMED.items():
            given[name] = {k.removeprefix(prefix): v for k, v in columns.items() if k.startswith(prefix)}
        return cls(**given)


_LONGEST = 2**25  # bytes


def read_history(path: Path) -> list[EpochRow]:
    """Read the rows of a `metrics.csv`.

    Args:
        path: the CSV file that a `History` wrote; a missing one has no rows.

    Raises:
        ValueError: the file is damaged.
    """
    if not path.exists():
        return []
    try:
        text = read_text(path, folder=path.parent, most=_LONGEST)
        table = csv.DictReader(io.StringIO(text, newline=""))
        if "epoch" not in (table.fieldnames or ()):
            raise ValueError("it has no column 'epoch'")
        filled = ({k: float(v) for k, v in line.items() if k and v not in ("", None)} for line in table)
        return [EpochRow.from_columns(line) for line in filled]
    except NotAllowedError:
        raise
    except (TypeError, ValueError, OverflowError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read ({error}); train the run again in a new folder") from error
