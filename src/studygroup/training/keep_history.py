"""The epochs' figures, kept in the checkpoint and written to `metrics.csv`, so that neither can lose a line."""

import csv
import io
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from studygroup._engine.ranks import place
from studygroup.files import write_text
from studygroup.training.history import EpochRow


class History(Callback):
    """Callback that collects one row of figures per epoch and rewrites the CSV file atomically after each.

    The rows are part of the checkpoint: a run that resumes from an earlier epoch drops the rows after it and computes
    them again, so the file never repeats or lacks a line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[EpochRow] = []

    def add(self, row: EpochRow) -> None:
        """Add an epoch's figures and write the file; columns may differ between rows, and missing ones stay empty."""
        self.rows.append(row)
        self.write()

    def write(self) -> None:
        """Write all rows, one line per epoch; of several processes the first does."""
        if place().rank:
            return
        rows = [row.columns() for row in self.rows]
        text = io.StringIO()
        writer = csv.DictWriter(
            text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path, text.getvalue())

    def state_dict(self) -> dict[str, Any]:
        """Return the rows, for the checkpoint."""
        return {"rows": [row.columns() for row in self.rows]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Replace the rows by those of a checkpoint."""
        self.rows = [EpochRow.from_columns(row) for row in state_dict["rows"]]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the file to the state of the checkpoint."""
        if self.rows:
            self.write()
