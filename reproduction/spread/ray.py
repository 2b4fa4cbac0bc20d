"""Runs as tasks of Ray, one each."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from reproduction.lab import Lab
from reproduction.runner import Run
from reproduction.spread import submissions
from reproduction.spread.orders import Job, Order, Outcome, hand_out
from reproduction.tables import Table
from studygroup.extras import missing
from studygroup.training.folder import held


def on_ray(
    table: Table, lab: Lab, runs: Sequence[Run], *, jobs: int | None, cluster: Mapping[str, Any]
) -> None:
    """Does runs as tasks of Ray, one each, and waits for them.

    Ray ends the tasks when this process ends; called again, it goes on from their checkpoints. A task whose machine
    is lost is tried again by Ray, as often as its `max_retries` says, and goes on in the same way.

    Args:
        table: that they belong to.
        lab: where and how; its folder, and the data, are seen by all machines.
        runs: in order.
        jobs: most tasks at a time; None is as many as the cluster has room for.
        cluster: `init`, arguments of `ray.init`, and `task`, options of each task, such as `num_gpus`.

    Raises:
        RuntimeError: a run failed.
        ValueError: Ray is missing, does not take what is in `cluster`, or another call is at work.
    """
    if not runs:
        return
    lab = submissions.absolute(lab)
    folder = submissions.folder(lab) / "ray"
    with held(folder) as free:
        if not free:
            raise ValueError(
                f"another call with --on ray hands out the runs of {lab.run_dir}; wait until it ends"
            )
        with _task(cluster) as (ray, task):
            runs = submissions.unsubmitted(lab, runs)

            def start(batch: Sequence[Run]) -> list[Job]:
                logs = [folder / f"{run.name}.log" for run in batch]
                orders = [Order(lab, run) for run in batch]
                return [
                    _Task(ray, task.remote(order, log), log) for order, log in zip(orders, logs, strict=True)
                ]

            hand_out(table, lab, runs, start, at_once=jobs)


class _Task(Job):
    """A task of Ray."""

    def __init__(self, ray: Any, reference: Any, log: Path) -> None:
        self._ray, self._reference, self._log = ray, reference, log

    @property
    def place(self) -> str:
        return f"log {self._log}"

    def done(self) -> bool:
        ready, _ = self._ray.wait([self._reference], timeout=0)
        return bool(ready)

    def outcome(self) -> Outcome:
        try:
            outcome: Outcome = self._ray.get(self._reference)
        except self._ray.exceptions.RayError as error:  # the process or its machine was lost, too often
            return Outcome(words=f"{type(error).__name__}: {error}", failed=True)
        return outcome

    def close(self) -> None:
        pass


def _obey(order: Order, log: Path) -> Outcome:
    """Carries out an order and writes what it says to a file; this is what a task does."""
    with log.open("a", encoding="utf-8") as file, redirect_stdout(file), redirect_stderr(file):
        return order()


@contextmanager
def _task(cluster: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Ray, connected for a while, and what starts a task."""
    try:
        import ray
    except ImportError as error:
        raise missing("--on ray", "cluster", error) from error
    unknown = {*cluster} - {"init", "task"}
    if unknown:
        raise ValueError(
            f"--on ray does not know {', '.join(sorted(unknown))}; write --cluster "
            """'{"init": {"address": "auto"}, "task": {"num_gpus": 1}}'"""
        )
    try:
        # a process for each run: none inherits memory or settings of the one before
        task = ray.remote(max_calls=1, **cluster.get("task", {}))(_obey)
        ours = not ray.is_initialized()
        if ours:
            ray.init(**cluster.get("init", {}))
    except (TypeError, ValueError, ConnectionError, RuntimeError) as error:
        raise ValueError(f"Ray does not take --cluster {dict(cluster)}: {error}") from error
    try:
        yield ray, task
    finally:
        if ours:
            ray.shutdown()
