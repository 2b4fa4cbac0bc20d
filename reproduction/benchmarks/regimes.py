"""Whether the regimes of scale `small` are what they have to be, by finished runs of their plain networks.

    python -m reproduction.benchmarks.regimes --run_dir runs/papers

A regime is chosen by the plain network alone. It overfits: its accuracy on its training rows is at least 20 points
above that on the hold-out rows, or, of texts, at least 98 % and 8 points above. It has converged: its hold-out
accuracy changes by less than 0.5 points over the last fifth of the epochs. CGL, where it is run, makes at least 5,000
updates. Three seeds of a column take at most ten hours of a core. No test row is read.
"""

import argparse
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from reproduction.benchmarks.environment import environment, save
from reproduction.equal_cost import AS_LONG
from reproduction.lab import Lab
from reproduction.progress import late_change
from reproduction.reading import table_called
from reproduction.results import Found
from reproduction.tables import Table
from studygroup.training.load_run import load_run
from studygroup.training.scores import accuracy
from studygroup.training.tables import markdown

SEEDS = 3
TABLES = ("cgl-table-2", "cgl-table-3", "cgl-ag-news", "intra-stand-in")


def conditions(lab: Lab, table: Table, found: Mapping[str, Found], row: str) -> dict[str, Any]:
    """Return what decides about the regime of a row, in percent, points, updates and hours."""
    plain = found["baseline"]
    key = lab.key(table.cells[row, "baseline"])
    trained = [training_accuracy(lab.folder(key, seed).path) for seed in plain.runs]
    held = [100 * run["holdout"] for run in plain.runs.values()]
    hours = {
        column: SEEDS * statistics.fmean(run["spent"] for run in some.runs.values()) / 3600
        for column, some in found.items()
    }
    return {
        "row": row,
        "seeds": len(plain.runs),
        "training": statistics.fmean(trained),
        "holdout": statistics.fmean(held),
        "gap": statistics.fmean(trained) - statistics.fmean(held),
        "late_change": late_change(plain),
        "updates": {
            column: statistics.fmean(run["updates"] for run in some.runs.values())
            for column, some in found.items()
        },
        "hours_of_three_seeds": hours,
    }


def training_accuracy(folder: Path) -> float:
    """Return the accuracy of a run's shipped network on its training rows as they are, in percent."""
    with load_run(folder) as run:
        batches = run.datamodule.evaluation_batches(run.data.train, torch.device("cpu"))
        return 100 * accuracy(run.load(), batches)


def main() -> None:
    """Check the regimes of all rows whose plain network has been run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run_dir", type=Path, default=Path("runs/papers"))
    parser.add_argument("--save", action="store_true", help="keep the figures with the results")
    args = parser.parse_args()
    lab = Lab(run_dir=args.run_dir).with_places()
    found = []
    for table in map(table_called, TABLES):
        cells = lab.found(table)
        rows = [row for row in table.rows if AS_LONG not in row and (row, "baseline") in cells]
        for row in rows:
            columns = {column: some for (at, column), some in cells.items() if at == row}
            found.append(conditions(lab, table, columns, row))
    head = (
        "",
        "seeds",
        "training rows",
        "hold-out rows",
        "gap",
        "change in the last fifth",
        "updates",
        "hours",
    )
    print(markdown([_line(one) for one in found], head=head))
    if args.save:
        save("regimes", {"environment": environment(), "regimes": found})


def _line(one: Mapping[str, Any]) -> tuple[str, ...]:
    most = max(one["hours_of_three_seeds"].items(), key=lambda pair: pair[1])
    return (
        one["row"],
        str(one["seeds"]),
        f"{one['training']:.1f} %",
        f"{one['holdout']:.1f} %",
        f"{one['gap']:.1f}",
        "unknown" if one["late_change"] is None else f"{one['late_change']:+.2f}",
        ", ".join(f"{column} {updates:,.0f}" for column, updates in one["updates"].items()),
        f"{most[1]:.1f} ({most[0]})",
    )


if __name__ == "__main__":
    main()
