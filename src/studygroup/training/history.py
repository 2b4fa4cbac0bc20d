"""The epochs' figures, kept in the checkpoint and written to `metrics.csv`, so that neither can lose a line."""

import csv
import io
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from studygroup.files import write_text

Row = dict[str, float]


class History(Callback):
    """Callback that collects one row of figures per epoch and rewrites the CSV file atomically after each.

    The rows are part of the checkpoint: a run that resumes from an earlier epoch drops the rows after it and computes
    them again, so the file never repeats or lacks a line.

    Args:
        path: the CSV file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[Row] = []

    def add(self, row: Row) -> None:
        """Add an epoch's figures and write the file.

        Args:
            row: name to number; columns may differ between rows, and missing ones stay empty.
        """
        self.rows.append(row)
        self.write()

    def write(self) -> None:
        """Write all rows, one line per epoch."""
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.path, text.getvalue())

    def state_dict(self) -> dict[str, Any]:
        """Return the rows, for the checkpoint."""
        return {"rows": [dict(row) for row in self.rows]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Replace the rows by those of a checkpoint."""
        self.rows = [dict(row) for row in state_dict["rows"]]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the file to the state of the checkpoint."""
        if self.rows:
            self.write()


def read_history(path: Path) -> list[Row]:
    """Read the rows of a `metrics.csv`.

    Args:
        path: the CSV file that a `History` wrote; a missing one has no rows.
    """
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [{k: float(v) for k, v in row.items() if v not in ("", None)} for row in csv.DictReader(file)]
