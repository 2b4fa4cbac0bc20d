"""The curves of a training for TensorBoard, whose errors say what could not be written."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from lightning.pytorch.loggers import TensorBoardLogger

from studygroup.files import not_written

R = TypeVar("R")


class Curves(TensorBoardLogger):
    """Logger of the figures of epochs.

    Args:
        folder: the run folder.
        start: epochs that were done before; what was recorded of later ones is hidden.
    """

    def __init__(self, folder: Path, *, start: int) -> None:
        super().__init__(folder, name="", version="tensorboard", purge_step=start + 1)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record figures.

        Raises:
            OSError: they could not be written; names the folder.
        """
        self._writing(lambda: super(Curves, self).log_metrics(metrics, step))

    def save(self) -> None:
        """Write what was recorded."""
        self._writing(super().save)

    def finalize(self, status: str) -> None:
        """Write what was recorded, and close."""
        self._writing(lambda: super(Curves, self).finalize(status))

    def _writing(self, work: Callable[[], R]) -> R:
        try:
            return work()
        except OSError as error:
            raise not_written(Path(self.log_dir), error) from error


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
