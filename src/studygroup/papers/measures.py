"""What the numbers of the papers' tables say, by the names that the tables' files have."""

from collections.abc import Callable, Mapping
from operator import itemgetter

from studygroup.collaborate import CollaborativeLearning
from studygroup.inputs import Inputs
from studygroup.papers.counting import gigabytes, millions, passes, passes_by_work, sharing
from studygroup.papers.tables import Figures, Measure


def _accuracy(run: Figures) -> float:
    return 100 * float(run["test"])


def _error(run: Figures) -> float:
    return 100 * (1 - float(run["test"]))


def _top5_error(run: Figures) -> float:
    return 100 * (1 - float(run["test_top5"]))


def _diversity(run: Figures) -> float:
    return float(run["diversity"])


def _drop(run: Figures) -> float:
    return float(run["flatness"]["drop"])


def _kept(run: Figures) -> float | None:
    """Of the accuracy above chance: a network that knows little has little to lose, and one at chance nothing."""
    if "classes" not in run:
        return None
    flat, chance = run["flatness"], 1 / run["classes"]
    if flat["clean"] <= chance:
        return None
    noisy = flat["accuracy"][flat["sigmas"].index(flat["reference"])]
    return 100 * float((noisy - chance) / (flat["clean"] - chance))


def _seconds(run: Figures) -> float | None:
    spent: float | None = run.get("spent")
    return spent


def _alone(
    number: Callable[[CollaborativeLearning], float],
) -> Callable[[CollaborativeLearning, Inputs], float]:
    return lambda task, x: number(task)


MEASURES: Mapping[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("accuracy", "%", 2, 1, _accuracy),
        Measure("error", "%", 2, -1, _error),
        Measure("top-5 error", "%", 2, -1, _top5_error),
        Measure("diversity", "L2 distance", 3, 1, _diversity),
        Measure("drop", "points", 2, -1, _drop, analysis="flatness"),
        Measure("accuracy kept", "% of that above chance", 1, 1, _kept, analysis="flatness"),
        Measure("memory", "GB", 2, -1, itemgetter("memory"), counted=gigabytes),
        Measure("rows", "how many", 0, 1),
        Measure("rank", "of the structures", 0, -1, itemgetter("rank")),
        Measure("parameters", "millions", 2, -1, itemgetter("parameters"), counted=_alone(millions)),
        Measure("passes", "forward and backward", 1, -1, itemgetter("passes"), counted=_alone(passes)),
        Measure("sharing", "share of layers", 2, 1, itemgetter("sharing"), counted=_alone(sharing)),
        Measure(
            "work",
            "passes, a peer's constant answer a third",
            1,
            -1,
            itemgetter("work"),
            counted=_alone(passes_by_work),
        ),
        Measure("seconds", "s", 0, -1, _seconds),
        Measure("change", "%", 1, 1, itemgetter("change")),
    )
}
