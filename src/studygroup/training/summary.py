"""The summary of a finished run, typed; `summary.json` is written and read here alone."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from studygroup.analysis.cost import Cost
from studygroup.training.plain import as_kind
from studygroup.training.scores import Scores

_MOST = 10**12  # epochs, rows or classes of a run


@dataclass(frozen=True)
class TextFigures:
    """Speed of a training on texts, medians over its epochs.

    Attributes:
        tokens_per_second: tokens, without padding.
        padding: share of positions that hold no token, in [0, 1].
    """

    tokens_per_second: float
    padding: float


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What was trained, on which data, and for how long.

    Attributes:
        recipe: short name of the method.
        data: name of the data set.
        model: arguments of `studygroup.models.build`.
        seed: the run's seed.
        students: number of students.
        epochs: number of epochs.
        updates: number of updates of a student.
        train_rows: number of training rows.
        training_seconds: seconds of training, without scoring.
        classes: names of the classes, in the order of the logits.
        input: what the network takes, in words.
        form: what turns rows into network input, as plain values.
        device: type of the device that it was trained on; None where that is not known.
        precision: Lightning's flag; None where that is not known.
        texts: speed on texts; None for pictures.
    """

    recipe: str
    data: str
    model: Mapping[str, Any]
    seed: int
    students: int
    epochs: int
    updates: int
    train_rows: int
    training_seconds: float
    classes: tuple[str, ...]
    input: str
    form: Mapping[str, Any]
    device: str | None = None
    precision: str | None = None
    texts: TextFigures | None = None


@dataclass(frozen=True, kw_only=True)
class NoiseFacts:
    """The label noise of a run.

    Attributes:
        name: name of the noise.
        options: its arguments.
        wrong_training_labels: number of wrong labels in the first epoch.
        redrawn: whether the second epoch has others.
        wrong_holdout_labels: number of wrong labels among the hold-out rows.
    """

    name: str
    options: Mapping[str, Any]
    wrong_training_labels: int
    redrawn: bool
    wrong_holdout_labels: int


@dataclass(frozen=True, kw_only=True)
class HoldoutScores:
    """Scores on the hold-out rows after the last epoch; the fields are those of `Scores`."""

    rows: int
    students: tuple[float, ...]
    ensemble: float
    diversity: float
    disagreement: float


@dataclass(frozen=True, kw_only=True)
class ShippedStudent:
    """The student that ships, and its scores.

    Attributes:
        student: number, from 0.
        epoch: the epoch after which it was selected, from 1.
        select: the rule by which it was selected.
        reestimated_bn: whether its batch-norm statistics were re-estimated.
        holdout: accuracy on the hold-out rows, in [0, 1].
        test: accuracy on the test rows, in [0, 1].
        test_top5: share of test rows whose class is among the five likeliest.
        leads: whether it ships as the routes' leader.
        select_by: name of the metric by which it was selected; None is accuracy.
    """

    student: int
    epoch: int
    select: str
    reestimated_bn: bool
    holdout: float
    test: float
    test_top5: float
    leads: bool = False
    select_by: str | None = None

    @property
    def rule(self) -> str:
        """The rule by which it was selected, as the settings name it."""
        return f"select={self.select}" + (f", select_by={self.select_by}" if self.select_by else "")


@dataclass(frozen=True, kw_only=True)
class BaselineScores:
    """The plain network that was trained beside the method.

    Attributes:
        test: accuracy on the test rows, in [0, 1].
        test_top5: share of test rows whose class is among the five likeliest.
        holdout: accuracy on the hold-out rows, in [0, 1].
        epoch: the epoch after which it was selected, from 1.
        updates: number of updates.
        training_seconds: seconds of training.
        folder: its folder in that of the run.
    """

    test: float
    test_top5: float
    holdout: float
    epoch: int
    updates: int
    training_seconds: float
    folder: str = "baseline"


@dataclass(frozen=True)
class MetricFigures:
    """One metric of all students on one set of rows.

    Attributes:
        students: of each student.
        ensemble: of the mean of their class probabilities.
    """

    students: tuple[float, ...]
    ensemble: float


@dataclass(frozen=True, kw_only=True)
class MetricScores:
    """One metric of a run.

    Attributes:
        holdout: on the hold-out rows after the last epoch.
        test: on the test rows.
        shipped: of the network that ships, on the test rows.
    """

    holdout: MetricFigures
    test: MetricFigures
    shipped: float


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Scores, cost and facts of a finished run.

    Attributes:
        run: what was trained.
        noise: the label noise; None without noise.
        holdout: scores of all students on the hold-out rows after the last epoch.
        shipped: the student that ships.
        test: scores of all students on the test rows.
        random_student: a student drawn by the seed, whose accuracy a choice has to exceed.
        baseline: the plain network; None where none was trained beside the method.
        cost: cost of a step; None where it was not measured.
        command: the command line that started the run.
        versions: versions of packages, device and date.
        metrics: further metrics, by name; None where none were asked for.
    """

    run: RunFacts
    noise: NoiseFacts | None
    holdout: HoldoutScores
    shipped: ShippedStudent
    test: Scores
    random_student: int
    baseline: BaselineScores | None
    cost: Cost | None
    command: str
    versions: Mapping[str, str]
    metrics: Mapping[str, MetricScores] | None = None

    def figures(self) -> dict[str, float]:
        """Return what a table of runs compares: accuracies as shares, updates, classes, seconds of training."""
        return {
            "holdout": self.shipped.holdout,
            "test": self.shipped.test,
            "test_top5": self.shipped.test_top5,
            "students_mean": self.test.mean,
            "ensemble": self.test.ensemble,
            "diversity": self.test.diversity,
            "updates": self.run.updates,
            "classes": len(self.run.classes),
            "seconds": round(self.run.training_seconds, 1),
        }

    def to_plain(self) -> dict[str, Any]:
        """Return the summary as `summary.json` holds it."""
        plain = dataclasses.asdict(self)
        student, test = plain.pop("random_student"), self.test
        plain["test"] |= {"mean": test.mean, "std": test.std, "mean_top5": test.mean_top5}
        plain["test"]["random"] = {"student": student, "accuracy": test.students[student]}
        return plain

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> "Summary":
        """Read the content of a `summary.json`, of any version since 0.1.0.

        Raises:
            ValueError: a value is missing or has another type; the message names it.
        """
        plain = dict(content)
        for name in ("holdout", "test", "run"):
            if not isinstance(plain.get(name), Mapping):
                raise ValueError(f"lacks {name}")
        holdout, test = dict(plain["holdout"]), plain["test"]
        numbered = sorted((int(name), value) for name, value in holdout.items() if name.isdigit())  # 0.1.0
        plain["holdout"] = {"students": [value for _, value in numbered], **holdout}
        plain["run"] = {**plain["run"], "texts": plain["run"].get("texts") or None}
        random = test.get("random")
        plain["random_student"] = random.get("student") if isinstance(random, Mapping) else None
        found: Summary = as_kind(cls, plain)
        found._check()
        return found

    def _check(self) -> None:
        """Refuse figures that contradict each other, or that nobody can have measured.

        Raises:
            ValueError: names the figure.
        """
        students = range(self.run.students)
        for name, some in (("test", self.test), ("holdout", self.holdout)):
            for figure in ("students", "students_top5"):
                each = getattr(some, figure, self.test.students)
                if len(each) != len(students):
                    raise ValueError(
                        f"has {name}.{figure} of {len(each)} students, where run.students is {len(students)}"
                    )
        for name, number in (("shipped.student", self.shipped.student), ("test.random", self.random_student)):
            if number not in students:
                raise ValueError(f"has {name}={number}, which is none of {len(students)} students")
        for name, count in (
            ("run.epochs", self.run.epochs),
            ("test.rows", self.test.rows),
            ("holdout.rows", self.holdout.rows),
            ("the number of run.classes", len(self.run.classes)),
        ):
            if not 1 <= count <= _MOST:
                raise ValueError(f"has {name}={count:.3g}, which is no number of a run")
        for name, share in self._shares():
            if not 0 <= share <= 1:
                raise ValueError(f"has {name}={share}, which is no share")
        if not isinstance(self.run.model.get("name"), str):
            raise ValueError("lacks run.model.name")

    def _shares(self) -> Iterator[tuple[str, float]]:
        """Yield all accuracies with their names."""
        for name, part in (("test", self.test), ("holdout", self.holdout)):
            yield f"{name}.ensemble", part.ensemble
            yield from ((f"{name}.students", share) for share in part.students)
        yield from (("test.students_top5", share) for share in self.test.students_top5)
        for name, shipped in (("shipped", self.shipped), ("baseline", self.baseline)):
            for figure in ("holdout", "test", "test_top5") if shipped is not None else ():
                yield f"{name}.{figure}", getattr(shipped, figure)
