"""What runs will take, from one measured step of each configuration, before anything is trained."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import torch

from studygroup.atomic import write_text
from studygroup.papers.lab import Lab
from studygroup.papers.runner import Run
from studygroup.training.price import price
from studygroup.training.scores import score
from studygroup.training.settings import Settings


@dataclass(frozen=True)
class Price:
    """What a run takes on the machine where it was measured, as busy as that was.

    Attributes:
        step: seconds of a training step.
        updates: steps in all.
        scoring: seconds of scoring one batch with all students.
        batches: batches scored in all: the hold-out rows once an epoch, the test rows once.
    """

    step: float
    updates: int
    scoring: float
    batches: int

    @property
    def hours(self) -> float:
        """Of the run, without loading the data."""
        return (self.step * self.updates + self.scoring * self.batches) / 3600


def prices(runs: Sequence[Run], lab: Lab) -> Mapping[str, Price]:
    """What one run of each configuration takes, by key; measured once and kept in `RUN_DIR/prices`.

    Args:
        runs: to be priced.
        lab: where and how.

    Raises:
        ValueError: data, network or recipe do not fit together.
    """
    found = {}
    for run in runs:
        path = lab.run_dir / "prices" / f"{run.key}.json"
        if run.key in found:
            continue
        if not path.exists():
            print(f"measuring a step: {run.cell.label}", file=sys.stderr, flush=True)
            write_text(path, json.dumps(asdict(_price(lab.settings(run.cell, seed=0))), indent=1) + "\n")
        found[run.key] = Price(**json.loads(path.read_text(encoding="utf-8")))
    return found


def _price(settings: Settings) -> Price:
    """Measures one step and the scoring of one batch."""
    use_cuda = settings.accelerator in ("auto", "cuda", "gpu") and torch.cuda.is_available()
    device = torch.device("cuda" if use_cuda else "cpu")
    data = settings.load_data()
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
    )
