"""The epochs' figures: kept in the checkpoint, written to `metrics.csv`, so that neither can lose a line."""

import csv
import io
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from studygroup.files import write_text

Row = dict[str, float]


class History(Callback):
    """Collects one row of figures an epoch and rewrites the CSV file atomically after each.

    The rows travel in the checkpoint: a run that continues from an earlier epoch drops the rows which came
    after it and writes them anew, so the file never has a line twice or too few.

    Args:
        path: the CSV file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[Row] = []

    def add(self, row: Row) -> None:
        """Adds an epoch's figures and writes the file.

        Args:
            row: name to number; columns may differ between rows, missing ones stay empty.
        """
        self.rows.append(row)
        self.write()

    def write(self) -> None:
        """Writes all rows, one line an epoch."""
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.path, text.getvalue())

    def state_dict(self) -> dict[str, Any]:
        """The rows, for the checkpoint."""
        return {"rows": [dict(row) for row in self.rows]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes the rows of a checkpoint in place of what there is."""
        self.rows = [dict(row) for row in state_dict["rows"]]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Brings the file back to the state of the checkpoint."""
        if self.rows:
            self.write()


def read_history(path: Path) -> list[Row]:
    """The rows of a `metrics.csv`.

    Args:
        path: the CSV file that a `History` wrote; a missing one has no rows.
    """
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [{k: float(v) for k, v in row.items() if v not in ("", None)} for row in csv.DictReader(file)]
