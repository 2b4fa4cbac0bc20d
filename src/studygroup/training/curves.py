"""Curves, settings and results of a training for TensorBoard, whose errors say what could not be written."""

import threading
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from lightning.pytorch.loggers import TensorBoardLogger

from studygroup.files import not_written
from studygroup.training.config import Config
from studygroup.training.folder import RunFolder, check_there
from studygroup.training.history import EpochRow
from studygroup.training.summary import Summary

R = TypeVar("R")
_OF_TRAINING = (
    *("lr", "imitation_weight", "updates", "seconds", "cpu_seconds", "rows_per_second"),
    *("tokens_per_second", "padding"),
)


def tags(row: EpochRow) -> dict[str, float]:
    """Return an epoch's figures by their names in TensorBoard, which stand in groups: `holdout/3`, `train/lr`."""
    found: dict[str, float | None] = {
        "holdout/mean": row.holdout_mean,
        "holdout/best": row.holdout_best,
        **{f"holdout/{name}": getattr(row, name) for name in ("ensemble", "diversity", "disagreement")},
        **{f"holdout/{k}": share for k, share in enumerate(row.holdout)},
        **{f"holdout/{name}": value for name, value in row.metrics.items()},
        "loss/total": row.loss,
        **{f"loss/supervised/{k}": loss for k, loss in enumerate(row.supervised)},
        **{f"loss/imitation/{k}": loss for k, loss in enumerate(row.imitation)},
        **{f"loss/objective/{name}": loss for name, loss in row.objectives.items()},
        **{f"train/{name}": getattr(row, name) for name in _OF_TRAINING},
        **{f"teachers/{name}": value for name, value in row.teachers.items()},
    }
    return {name: value for name, value in found.items() if value is not None}


def results(summary: Summary) -> dict[str, float]:
    """Return a finished run's figures by TensorBoard's names for them."""
    found = {
        "test/shipped": summary.shipped.test,
        "test/shipped_top5": summary.shipped.test_top5,
        "test/students_mean": summary.test.mean,
        "test/ensemble": summary.test.ensemble,
        "holdout/shipped": summary.shipped.holdout,
        "train/seconds_in_all": summary.run.training_seconds,
    }
    found |= {f"test/{name}": one.shipped for name, one in (summary.metrics or {}).items()}
    if summary.baseline is not None:
        found["test/baseline"] = summary.baseline.test
    return found


class Curves(TensorBoardLogger):
    """Logger of the figures of epochs.

    Args:
        folder: the run folder.
        start: epochs that were done before; what was recorded of later ones is hidden.
    """

    def __init__(self, folder: Path, *, start: int) -> None:
        self._run = folder
        super().__init__(folder, name="", version="tensorboard", purge_step=start + 1)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record figures.

        Raises:
            FolderGoneError: the run folder was removed.
            OSError: they could not be written; names the folder.
        """
        self._writing(lambda: super(Curves, self).log_metrics(metrics, step))

    def log_hyperparams(
        self,
        params: dict[str, Any] | Namespace,
        metrics: dict[str, Any] | None = None,
        step: int | None = None,
    ) -> None:
        """Record settings, and the figures that were reached with them."""
        self._writing(lambda: super(Curves, self).log_hyperparams(params, metrics, step))

    def save(self) -> None:
        """Write what was recorded; the settings stand in the run's own `config.yaml`, and in no further file."""
        self._writing(lambda: self.experiment.flush())

    def finalize(self, status: str) -> None:
        """Write what was recorded, and close."""
        self._writing(lambda: super(Curves, self).finalize(status))

    def _writing(self, work: Callable[[], R]) -> R:
        try:
            return work()
        except (OSError, ValueError) as error:
            reason = (
                error if isinstance(error, OSError) else error.__cause__
            )  # Lightning takes any for a wrong figure
            if not isinstance(reason, OSError):
                raise
            check_there(RunFolder(self._run))  # where it is gone, that is what to say
            raise not_written(Path(self.log_dir), reason) from error


def log_result(folder: RunFolder, config: Config, summary: Summary) -> None:
    """Record the settings of a run and what it reached, for TensorBoard's table of runs.

    Raises:
        OSError: they could not be written; names the folder.
    """
    epochs = summary.run.epochs
    curves = Curves(folder.path, start=epochs)
    curves.log_hyperparams(config, results(summary), step=epochs)
    curves.finalize("success")


def log_trial(folder: Path, values: Mapping[str, Any], accuracy: float) -> None:
    """Record the values of a trial and what it reached, for TensorBoard's table of trials.

    Args:
        folder: the trial's folder.
        values: by dotted name.
        accuracy: on the hold-out rows, mean over seeds.

    Raises:
        OSError: they could not be written; names the folder.
    """
    curves = Curves(folder, start=0)
    with no_tracebacks():
        curves.log_hyperparams(dict(values), {"holdout/shipped": accuracy}, step=0)
        curves.finalize("success")


@contextmanager
def no_tracebacks() -> Iterator[None]:
    """Print no traceback of the thread that writes: its errors are raised again where it is asked to write more."""
    before = threading.excepthook

    def hook(ended: threading.ExceptHookArgs) -> None:
        if not type(ended.thread).__module__.startswith("tensorboard"):
            before(ended)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before
