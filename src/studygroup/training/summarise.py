"""Summarise a run that has been trained and scored."""

import platform
import shlex
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import torch

from studygroup import seeding
from studygroup.analysis.cost import Cost
from studygroup.data import Data, clean
from studygroup.training.fit import Trained
from studygroup.training.history import EpochRow
from studygroup.training.scores import Scores
from studygroup.training.settings import Settings
from studygroup.training.summary import (
    BaselineScores,
    HoldoutScores,
    MetricScores,
    NoiseFacts,
    RunFacts,
    ShippedStudent,
    Summary,
    TextFigures,
)


def summarise(
    settings: Settings,
    data: Data,
    trained: Trained,
    *,
    test: Scores,
    shipped: Scores,
    baseline: Summary | None,
    cost: Cost | None,
    metrics: Mapping[str, MetricScores] | None,
) -> Summary:
    """Assemble the summary of a run; `test` and `shipped` are scores on the test rows."""
    selected, last = trained.selected, trained.history.rows[-1]
    return Summary(
        run=_facts(settings, data, trained),
        noise=_noise_facts(settings, data),
        holdout=HoldoutScores(
            rows=len(data.holdout),
            students=last.holdout,
            ensemble=last.ensemble,
            diversity=last.diversity,
            disagreement=last.disagreement,
        ),
        shipped=ShippedStudent(
            student=selected.student,
            leads=trained.module.task.group.routes.leader is not None,
            epoch=selected.epoch,
            select=settings.select,
            select_by=settings.select_by,
            reestimated_bn=settings.reestimate_bn,
            holdout=selected.holdout,
            test=shipped.students[0],
            test_top5=shipped.students_top5[0],
        ),
        test=test,
        random_student=seeding.derive(settings.seed, "random student") % len(test.students),
        baseline=None if baseline is None else _baseline_scores(baseline),
        cost=cost,
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        versions=_versions(trained.device),
        metrics=metrics,
    )


def _facts(settings: Settings, data: Data, trained: Trained) -> RunFacts:
    rows = trained.history.rows
    return RunFacts(
        recipe=settings.method_name,
        data=data.name,
        model=settings.builder(data),
        seed=settings.seed,
        students=trained.module.task.group.students,
        epochs=rows[-1].epoch,
        updates=rows[-1].updates,
        train_rows=len(data.train),
        training_seconds=sum(row.seconds for row in rows),
        device=trained.device.type,
        precision=settings.precision,
        classes=tuple(data.classes),
        texts=_text_figures(rows),
        input=data.form.words,
        form=data.form.facts,
    )


def _text_figures(rows: Sequence[EpochRow]) -> TextFigures | None:
    speeds = [row.tokens_per_second for row in rows if row.tokens_per_second is not None]
    padding = [row.padding for row in rows if row.padding is not None]
    return TextFigures(statistics.median(speeds), statistics.median(padding)) if speeds else None


def _baseline_scores(baseline: Summary) -> BaselineScores:
    shipped, run = baseline.shipped, baseline.run
    return BaselineScores(
        test=shipped.test,
        test_top5=shipped.test_top5,
        holdout=shipped.holdout,
        epoch=shipped.epoch,
        updates=run.updates,
        training_seconds=run.training_seconds,
    )


def _versions(device: torch.device) -> dict[str, str]:
    """Return the date, the device and the versions of the packages that the run used."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "studygroup": version("studygroup"),
        "python": platform.python_version(),
        **{package: version(package) for package in ("torch", "lightning", "torchvision", "timm")},
        "device": f"{platform.system()}, {name}, {torch.get_num_threads()} CPU threads",
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }


def _noise_facts(settings: Settings, data: Data) -> NoiseFacts | None:
    if settings.noise is clean:
        return None
    named = settings.config()["noise"]
    path, options = (named["class_path"], named["init_args"]) if isinstance(named, dict) else (named, {})
    first, second = data.training_labels(0), data.training_labels(1)
    return NoiseFacts(
        name=path.rpartition(".")[2],
        options=options,
        wrong_training_labels=int((first != data.train_truth.labels).sum()),
        redrawn=not torch.equal(first, second),
        wrong_holdout_labels=int((data.holdout.labels != data.holdout_truth.labels).sum()),
    )
