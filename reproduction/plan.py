"""What runs will take, from one measured step of each configuration, before anything is trained."""

import time
from collections.abc import Mapping, Sequence

from reproduction.lab import Lab
from reproduction.prices import Price, add, known, machine
from reproduction.runner import Run, each, say
from studygroup.data import UnavailableError
from studygroup.training.price import price
from studygroup.training.run import cpu_threads
from studygroup.training.scores import score
from studygroup.training.settings import Settings


def prices(runs: Sequence[Run], lab: Lab) -> Mapping[str, Price]:
    """What one run of each configuration takes on this machine, by key; measured once and kept with the results.

    Configurations whose data cannot be opened are left out and told, unless there are none but them.

    Args:
        runs: to be priced.
        lab: where and how.

    Raises:
        ValueError: data, network or recipe do not fit together; the file of prices is damaged.
    """
    own = machine()
    here = {key: price for key, price in known(lab.kept).items() if price.machine == own}

    def one(run: Run) -> None:
        if run.key not in here:
            say(f"measuring a step: {run.cell.label}")
            settings = lab.settings(run.cell, seed=0)
            with cpu_threads(settings.threads):
                here[run.key] = _price(settings)
            add(lab.kept, run.key, here[run.key])

    try:
        each(runs, one)
    except UnavailableError as error:
        if not any(run.key in here for run in runs):
            raise
        say(f"left out: {error}")
    return {run.key: here[run.key] for run in runs if run.key in here}


def _price(settings: Settings) -> Price:
    """Measures one step and the scoring of one batch."""
    device, data = settings.device, settings.load_data()
    task, feed = settings.build_task(data), settings.build_feed(data)
    updates = len(feed.training_batches(task, epoch=0))
    held, tested = len(feed.plain(data.holdout)), len(feed.plain(data.test))
    batch = next(feed.scored(data.holdout, device))
    task.to(device)
    seconds = []
    for _ in range(2):  # the first warms up
        start = time.perf_counter()
        score(task.shipped, [batch], students=task.group.students)
        seconds.append(time.perf_counter() - start)
    return Price(
        step=price(settings, data, device=device, repeats=1)["seconds"],
        updates=updates * settings.epochs,
        scoring=seconds[-1],
        batches=held * settings.epochs + tested,
        machine=machine(),
    )
