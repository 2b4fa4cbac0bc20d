"""What `compare` leaves in its folder: rows of figures, the run folders behind them, and a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studygroup.files import checked, read_json
from studygroup.training.folder import RunFolder
from studygroup.training.plain import as_kind
from studygroup.training.scores import TOP5_FROM
from studygroup.training.tables import markdown

COLUMNS = {
    "holdout": "hold-out (chosen on)",
    "test": "test, shipped",
    "top5": "test top-5, shipped",
    "students_mean": "test, mean of students",
    "ensemble": "test, ensemble",
}
"""Column titles of the accuracies in a row of `compare`."""


def read_rows(run_dir: Path) -> list[dict[str, Any]]:
    """Read the rows that `compare` wrote to its folder, as it returns them, each with its `seeds`.

    Raises:
        ValueError: the folder holds no comparison, or its file is damaged.
    """
    path, way_out = run_dir / "comparison.json", "call `studygroup compare` again"
    try:
        rows = read_json(path, way_out=way_out)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ValueError(
            f"{run_dir} holds no comparison: comparison.json is missing; give a --run_dir of `studygroup compare`"
        ) from error
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"{path} holds no rows; {way_out}")
    for number, row in enumerate(rows):
        name = checked(path, row, way_out=way_out, holds=("name", "seeds"))["name"]
        if not isinstance(name, str) or name != Path(name).name or not name:
            raise ValueError(f"{path} has a row {name!r:.80}, which names no folder here; {way_out}")
        try:
            as_kind(_Row, row, f"row {number}")
        except ValueError as error:
            raise ValueError(f"{path} {error}; {way_out}") from error
    return rows


@dataclass(frozen=True, kw_only=True)
class _Row:
    """What every row has, and what it may have."""

    name: str
    n: int
    seeds: tuple[int, ...]
    updates: int
    step_cost: float
    classes: int = 0
    holdout: float = 0.0
    holdout_std: float | None = None
    test: float = 0.0
    test_std: float | None = None
    top5: float = 0.0
    top5_std: float | None = None
    students_mean: float = 0.0
    students_mean_std: float | None = None
    ensemble: float = 0.0
    ensemble_std: float | None = None


def cells(run_dir: Path, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[RunFolder]]:
    """Return the run folders behind a comparison's rows, by configuration, one per seed."""
    return {
        row["name"]: [RunFolder(run_dir / f"{row['name']}-{seed}") for seed in row["seeds"]] for row in rows
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Render the comparison as a Markdown table."""
    many = any(row["classes"] >= TOP5_FROM for row in rows)
    columns = {name: words for name, words in COLUMNS.items() if many or name != "top5"}
    texts = any("padding" in row for row in rows)
    costs = ["updates", "step cost", *(["tokens/s", "padding"] if texts else [])]
    head = ("configuration", "n", *columns.values(), *costs)
    cells = [
        (
            row["name"],
            str(row["n"]),
            *(percent(row, name) for name in columns),
            str(row["updates"]),
            f"{row['step_cost']:.2f} x",
            *((f"{row['tokens_per_second']:,.0f}", f"{row['padding']:.1%}") if texts else ()),
        )
        for row in rows
    ]
    return (
        f"{markdown(cells, head=head)}\n\nMean ± sample standard deviation over seeds. The shipped student is chosen "
        "on the hold-out rows and scored on the test rows afterwards.\n"
    )


def percent(row: Mapping[str, Any], name: str) -> str:
    """Format an accuracy of a row of `compare` in percent, with its deviation if there is one."""
    std = row.get(f"{name}_std")
    return f"{100 * row[name]:.2f}" + (f" ± {100 * std:.2f}" if std is not None else "")
