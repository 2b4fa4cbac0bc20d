"""Which runs are with a cluster: a file for each, written when it is submitted and removed with its outcome."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from reproduction.lab import Lab
from reproduction.runner import Run, say
from studygroup.files import write_text


@dataclass(frozen=True)
class Submission:
    """That a run is with a cluster.

    Attributes:
        cluster: its kind, such as `slurm`.
        job: the cluster's name for the job.
    """

    cluster: str
    job: str

    def __str__(self) -> str:
        return f"job {self.job} ({self.cluster})"


def absolute(lab: Lab) -> Lab:
    """The same, whatever the working folder of a process that is told of it."""
    return dataclasses.replace(lab, run_dir=lab.run_dir.absolute())


def folder(lab: Lab) -> Path:
    """What is known of jobs, in the folder of runs."""
    return lab.run_dir.absolute() / "jobs"


def file(lab: Lab, run: Run) -> Path:
    """Where a run's submission is written, if it has one."""
    return folder(lab) / f"{run.name}.json"


def read(lab: Lab, run: Run) -> Submission | None:
    """A run's submission, if it has one.

    Raises:
        ValueError: its file is damaged.
    """
    path = file(lab, run)
    try:
        return Submission(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{path} cannot be read ({error}); remove it when no job of this run is left in the cluster's queue"
        ) from error


def write(lab: Lab, run: Run, submission: Submission) -> None:
    """Writes down that a run is with a cluster."""
    write_text(file(lab, run), json.dumps(asdict(submission)) + "\n")


def drop(lab: Lab, run: Run) -> None:
    """Forgets that a run is with a cluster."""
    file(lab, run).unlink(missing_ok=True)


def unsubmitted(lab: Lab, runs: Sequence[Run], *, ours: str = "") -> tuple[Run, ...]:
    """The runs that are not with a cluster; the others are named.

    Args:
        lab: where they are made.
        runs: of any table.
        ours: kind of a cluster whose submissions do not count.
    """
    free = []
    for run in runs:
        submission = read(lab, run)
        if submission is None or submission.cluster == ours:
            free.append(run)
        else:
            say(
                f"{run} is with {submission}; wait for it with the same --on and --cluster, or, if the job is gone, "
                f"remove {file(lab, run)}"
            )
    return tuple(free)
