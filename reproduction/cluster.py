"""Runs of a table as tasks of Ray, one each; the coordinator saves the figures that come back."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reproduction.benchmarks.environment import provenance
from reproduction.lab import Lab
from reproduction.results import add_stopped
from reproduction.runner import Run, keep_run, make
from reproduction.tables import Figures, Table
from studygroup.training import cluster as clusters
from studygroup.training.cluster import Outcome


@dataclass(frozen=True)
class Order:
    """A run to be made on any machine that sees the folder of runs.

    Attributes:
        lab: where and how, its folder absolute.
        run: to be made.
    """

    lab: Lab
    run: Run

    def __str__(self) -> str:
        return str(self.run)

    @property
    def name(self) -> str:
        """Name of its log."""
        return self.run.name

    @property
    def folder(self) -> Path:
        """Folder of the run."""
        return self.lab.folder(self.run.key, self.run.seed).path

    def __call__(self) -> tuple[Figures, dict[str, Any]]:
        """Make the run, resuming from its checkpoint if it was started; return figures, machine and versions."""
        return make(self.lab, self.run), provenance()


def on_ray(
    table: Table, lab: Lab, runs: Sequence[Run], *, jobs: int | None, cluster: Mapping[str, Any]
) -> None:
    """Make runs as tasks of Ray, see `studygroup.training.cluster`; the next call resumes what is not finished.

    Args:
        table: that they belong to.
        lab: where and how; all machines see its folder and the data.
        runs: in order.
        jobs: maximum number of simultaneous tasks; None is as many as the cluster has room for.
        cluster: `init`, arguments of `ray.init`, and `task`, options of each task, such as `num_gpus`.

    Raises:
        RuntimeError: a run failed.
        ValueError: Ray is missing or refuses what is in `cluster`, or another call is running.
    """
    lab = dataclasses.replace(lab, run_dir=lab.run_dir.absolute())
    clusters.on_ray(
        [Order(lab, run) for run in runs],
        lambda order, outcome: keep_outcome(table, order, outcome),
        logs=lab.run_dir / "jobs" / "ray",
        jobs=jobs,
        cluster=cluster,
    )


def keep_outcome(table: Table, order: Order, outcome: Outcome) -> None:
    """Save the figures of a run, or that its loss became infinite or NaN."""
    if outcome.stopped:
        add_stopped(order.lab.results_dir, order.run.name, outcome.words)
    elif outcome.found is not None:
        found, made = outcome.found
        keep_run(table, order.lab, order.run, found, where={**made, "command": provenance()["command"]})
