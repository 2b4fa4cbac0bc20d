"""Runs as jobs of Slurm, with submitit: an array with a task for each; `RUN_DIR/jobs` says which are submitted."""

from collections.abc import Mapping, Sequence
from typing import Any

from filelock import FileLock

from reproduction.lab import Lab
from reproduction.runner import Run, say
from reproduction.spread import submissions
from reproduction.spread.orders import Job, Order, Outcome, hand_out
from reproduction.tables import Table
from studygroup.extras import missing


def on_slurm(
    table: Table, lab: Lab, runs: Sequence[Run], *, jobs: int | None, cluster: Mapping[str, Any]
) -> None:
    """Does runs as jobs of Slurm, one each, and waits for them.

    The jobs need neither this process nor each other. If it is stopped they go on; called again, it waits for those
    that are left and submits none twice. A job that Slurm stops, for its time or for another, is queued again and
    goes on from the run's checkpoint.

    Args:
        table: that they belong to.
        lab: where and how; its folder, and the data, are seen by all machines.
        runs: in order.
        jobs: most jobs that run at a time; None is as many as Slurm lets.
        cluster: what submitit's `AutoExecutor` takes, `timeout_min` among it; `{"cluster": "local"}` is this machine.

    Raises:
        RuntimeError: a run failed; no Slurm is here.
        ValueError: submitit is missing, or does not take what is in `cluster`.
    """
    if not runs:
        return
    lab = submissions.absolute(lab)
    slurm = _Slurm(lab, table.id, cluster, jobs=jobs)
    runs = submissions.unsubmitted(lab, runs, ours=slurm.kind)
    hand_out(table, lab, runs, slurm.start, at_once=None if slurm.kind == "slurm" else jobs)


class _Slurm:
    """What submits runs.

    Args:
        lab: where and how.
        name: of the jobs.
        cluster: what submitit takes.
        jobs: most that run at a time.
    """

    def __init__(self, lab: Lab, name: str, cluster: Mapping[str, Any], *, jobs: int | None) -> None:
        self._lab = lab
        more = {"name": name} if jobs is None else {"name": name, "slurm_array_parallelism": int(jobs)}
        self._executor = _executor(
            submissions.folder(lab) / "submitit", {"cluster": "slurm", **more, **cluster}
        )
        self.kind: str = self._executor.cluster

    def start(self, runs: Sequence[Run]) -> list[Job]:
        """A job for each run: one of an earlier call, or a new one."""
        with FileLock(submissions.folder(self._lab) / ".lock"):  # against another call on this machine
            found = [self._earlier(run) for run in runs]
            new = [run for run, job in zip(runs, found, strict=True) if job is None]
            submitted = iter(self._submitted(new) if new else ())
            return [job or next(submitted) for job in found]

    def _submitted(self, runs: Sequence[Run]) -> list[Job]:
        jobs = self._executor.submit_array([Order(self._lab, run) for run in runs])
        for run, job in zip(runs, jobs, strict=True):
            submissions.write(self._lab, run, submissions.Submission(self.kind, job.job_id))
        array = jobs[0].job_id.partition("_")[0]
        stop = (
            f"; they go on without this command, `scancel {array}` stops them" if self.kind == "slurm" else ""
        )
        say(f"submitted {len(jobs)} jobs{stop}")
        return [_Submitted(self._lab, run, job) for run, job in zip(runs, jobs, strict=True)]

    def _earlier(self, run: Run) -> Job | None:
        """The job that an earlier call submitted, if it lives or has left an outcome."""
        submission = submissions.read(self._lab, run)
        if submission is None or self.kind == "debug":
            return None
        job = self._executor._executor.job_class(self._executor.folder, submission.job)
        if job.done():
            return _Submitted(self._lab, run, job) if job.paths.result_pickle.exists() else None
        say(f"{run}: waiting for {submission} of an earlier call, {job.state.lower()}")
        if job.state == "UNKNOWN":
            say(
                f"Slurm does not know it; if it is gone, remove {submissions.file(self._lab, run)} and call again"
            )
        return _Submitted(self._lab, run, job)


class _Submitted(Job):
    """A job of submitit."""

    def __init__(self, lab: Lab, run: Run, job: Any) -> None:
        self._lab, self._run, self._job = lab, run, job

    @property
    def place(self) -> str:
        return f"job {self._job.job_id}, log {self._job.paths.stderr}"

    def done(self) -> bool:
        ended: bool = self._job.done()
        return ended

    def outcome(self) -> Outcome:
        error = self._job.exception()
        if error is not None:
            return Outcome(words=_end(str(error)), failed=True)
        outcome: Outcome = self._job.result()
        return outcome

    def close(self) -> None:
        submissions.drop(self._lab, self._run)


def _end(text: str) -> str:
    """First line and the last few of an error that holds a whole log."""
    lines = text.strip().splitlines()
    return "\n  ".join(lines if len(lines) < 8 else [lines[0], "...", *lines[-6:]])


def _executor(folder: Any, given: Mapping[str, Any]) -> Any:
    """Submitit's executor, set up."""
    try:
        import submitit
    except ImportError as error:
        raise missing("--on slurm", "cluster", error) from error
    if not {"timeout_min", "slurm_time"} & {*given}:
        raise ValueError(
            f"--on slurm is to be told how long a job may take, beside {dict(given)}: "
            """--cluster '{"timeout_min": 600}', in minutes"""
        )
    for name in ("nodes", "tasks_per_node", "slurm_nodes", "slurm_ntasks_per_node"):
        if given.get(name, 1) != 1:
            raise ValueError(
                f"a run is one process on one machine, --cluster has {name}: {given[name]}; leave it out"
            )
    building = {
        name: value
        for name, value in given.items()
        if name == "cluster" or name.endswith(("_python", "_max_num_timeout", "_max_pickle_size_gb"))
    }
    try:
        executor = submitit.AutoExecutor(folder=folder, **building)
        executor.update_parameters(**{name: value for name, value in given.items() if name not in building})
    except (AssertionError, NameError, TypeError, ValueError) as error:
        raise ValueError(f"submitit does not take --cluster {dict(given)}: {error}") from error
    return executor
