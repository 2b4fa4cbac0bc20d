"""Summaries of runs that were never trained."""

import dataclasses

from studygroup.training.scores import Scores
from studygroup.training.summary import (
    BaselineScores,
    HoldoutScores,
    RunFacts,
    ShippedStudent,
    Summary,
)


def summary(
    *,
    own: float = 0.5,
    students: tuple[float, ...] = (0.5, 0.25),
    ensemble: float = 0.55,
    baseline: float | None = 0.45,
    classes: int = 10,
    rows: int = 100,
    **changes,
) -> Summary:
    """The summary of a run with these accuracies on the test rows; `changes` replace whole parts of it."""
    whole = Summary(
        run=RunFacts(
            recipe="cgl",
            data="digits",
            model={"name": "cifar_resnet18", "classes": classes},
            seed=0,
            students=len(students),
            epochs=3,
            updates=9,
            train_rows=160,
            training_seconds=1.5,
            classes=("x",) * classes,
            input="images",
            form={},
            device="cpu",
        ),
        noise=None,
        holdout=HoldoutScores(rows=40, students=students, ensemble=ensemble, diversity=0.1, disagreement=0.2),
        shipped=ShippedStudent(
            student=0, epoch=3, select="last", reestimated_bn=False, holdout=0.4, test=own, test_top5=0.75
        ),
        test=Scores(
            students=students,
            ensemble=ensemble,
            diversity=0.1,
            disagreement=0.2,
            rows=rows,
            students_top5=(0.75, 0.625)[: len(students)],
            ensemble_top5=0.8,
        ),
        random_student=len(students) - 1,
        baseline=None
        if baseline is None
        else BaselineScores(
            test=baseline, test_top5=0.7, holdout=0.4, epoch=3, updates=24, training_seconds=1.0
        ),
        cost=None,
        command="studygroup train",
        versions={"torch": "2"},
    )
    return dataclasses.replace(whole, **changes)
