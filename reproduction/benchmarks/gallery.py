"""Measure which method helps when, on digits with a small perceptron, for the pages of docs/gallery.

    python -m reproduction.benchmarks.gallery search --seeds 0 3            # settings, on rows nobody learns from
    python -m reproduction.benchmarks.gallery methods --seeds 200 208       # every recipe, on the test rows
    python -m reproduction.benchmarks.gallery noisy_methods --seeds 200 208 # with 40 % of the labels wrong
    python -m reproduction.benchmarks.gallery label_noise --seeds 200 208
    python -m reproduction.benchmarks.gallery few_labels --seeds 200 208
    python -m reproduction.benchmarks.gallery ensemble --seeds 200 208
    python -m reproduction.benchmarks.gallery draw                          # the pictures in docs/images
    python -m reproduction.benchmarks.gallery                               # the tables of all finished runs

897 rows of scikit-learn's digits are test rows, the same for every seed. The seed deals the other 900 into
labelled rows, 50 or 100 rows held out to choose the student by, and the rest, on which the search judges settings.
The search never sees a test row. Wrong labels are drawn once, uniformly among the other classes, for labelled and
held-out rows alike. The plain network is trained by plain PyTorch, a method by the same loop; networks of one seed
have the same rows and the same first weights. A finished run is never repeated; several processes may share one
file.
"""

import argparse
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

import studygroup as sg
from reproduction.benchmarks.gallery_ensemble import ensemble, search_ensemble
from reproduction.benchmarks.gallery_runs import (
    Regime,
    Setting,
    best_in_search,
    dropout_network,
    method,
    network,
    plain,
)
from reproduction.benchmarks.gallery_tables import draw, show
from studygroup import recipes
from studygroup.training.computing import cpu_threads

FOUR: dict[str, Any] = {"students": 4, "init": network}
BRANCHES = ["4", "6"]
TREE = {"2": [0, 0, 1, 1], "4": [0, 1, 2, 3], "6": [0, 1, 2, 3]}
INNER, LINEAR = ["1", "3"], ["0", "2", "4"]
METHODS: dict[str, Callable[[Tensor], sg.CollaborativeLearning]] = {
    "dml, T = 3, T² times": lambda x: recipes.dml(network(), temperature=3.0, scale_by_t2=True, **FOUR),
    "dml": lambda x: recipes.dml(network(), **FOUR),
    "multi_instance": lambda x: recipes.multi_instance(network(), **FOUR),
    "kdcl": lambda x: recipes.kdcl(network(), **FOUR),
    "tree": lambda x: recipes.tree(network(), table=TREE, init=network),
    "cl_ilr": lambda x: recipes.cl_ilr(network(), layers=BRANCHES, **FOUR),
    "one": lambda x: recipes.one(network(), layers=BRANCHES, example=x, **FOUR),
    "okddip": lambda x: recipes.okddip(network(), layers=BRANCHES, example=x, **FOUR),
    "pcl": lambda x: recipes.pcl(network(), layers=BRANCHES, example=x, **FOUR),
    "ffl": lambda x: recipes.ffl(network(), layers=BRANCHES, example=x, **FOUR),
    "cgl": lambda x: recipes.cgl(network(), layers=LINEAR, init=network),
    "cgl, all rows for each": lambda x: recipes.cgl(network(), layers=LINEAR, subsets=False, init=network),
    "byot": lambda x: recipes.byot(network(), inner=INNER, example=x),
    "auxiliary_training": lambda x: recipes.auxiliary_training(network(), inner=INNER, example=x),
    "self_distillation": lambda x: recipes.self_distillation(network()),
    "intra, mid and kernel": lambda x: recipes.intra(
        network(), example=x, mid=1.0, kernel=0.01, inner=LINEAR, kernels=LINEAR
    ),
    "intra, out, with dropout": lambda x: recipes.intra(dropout_network(), example=x, out=1.0),
}
"""Every recipe that suits a perceptron, with four students if it has several, all else by default."""

NOISE = {share: Regime(400, 100, share, batch=32) for share in (0, 20, 40, 60)}
SIZES = {rows: Regime(rows, batch=16 if rows < 400 else 32) for rows in (50, 100, 200, 400, 800)}

Trial = tuple[Setting, Callable[[Tensor], sg.CollaborativeLearning] | None]
"""A setting of the loop, and the method; None is the plain network."""


def noise_trials(regime: Regime) -> dict[str, dict[str, Trial]]:
    """Return the trials of the search under label noise, where short training is best; the plain network has more."""
    kinds: dict[str, Callable[[Tensor], sg.CollaborativeLearning] | None] = {
        "plain": None,
        "dml": METHODS["dml, T = 3, T² times"],
        "multi_instance": lambda x: recipes.multi_instance(network(), alpha=0.1, **FOUR),
        "self_distillation": METHODS["self_distillation"],
    }
    found: dict[str, dict[str, Trial]] = {kind: {} for kind in kinds}
    for epochs in (5, 10, 20, 30) if regime.wrong else (10, 30, 60):
        for kind, make in kinds.items():
            found[kind][f"{kind}, {epochs} epochs"] = Setting(epochs), make
            found[kind][f"{kind}, smoothing, {epochs} epochs"] = Setting(epochs, smoothing=0.5), make
        found["plain"][f"plain, dropout, {epochs} epochs"] = Setting(epochs, dropout=True), None
    return found


SIZE_TRIALS: dict[str, Trial] = {
    f"plain{', smoothing' if smoothing else ''}, {epochs} epochs": (
        Setting(epochs, smoothing=smoothing),
        None,
    )
    for smoothing in (0.0, 0.5)
    for epochs in (30, 60, 120)
} | {
    "plain, lr 0.003, 60 epochs": (Setting(lr=0.003), None),
    "plain, dropout, 60 epochs": (Setting(dropout=True), None),
}
"""The trials of the search for the plain network, for each number of labelled rows."""
DML_SIZE_TRIALS: dict[str, Trial] = {
    "dml, 60 epochs": (Setting(), METHODS["dml, T = 3, T² times"]),
    "dml, smoothing, 60 epochs": (Setting(smoothing=0.5), METHODS["dml, T = 3, T² times"]),
}


def run_trial(part: str, seed: int, regime: Regime, name: str, trial: Trial, on: str = "test") -> None:
    """Run one trial."""
    setting, make = trial
    if make is None:
        plain(part, seed, regime, setting, name=name, on=on)
    else:
        method(part, seed, regime, setting, name, make, on=on)


def chosen(regime: Regime, trials: Mapping[str, Trial]) -> str:
    """Return the trial whose student was best in the search."""
    return best_in_search(str(regime), trials)


def search(seed: int) -> None:
    """Try settings, and judge them by rows used neither for learning nor for choosing nor for testing."""
    for regime in NOISE.values():
        for trials in noise_trials(regime).values():
            for name, trial in trials.items():
                run_trial("search", seed, regime, name, trial, on="unused")
    for rows in (50, 100, 200, 400):
        for name, trial in (SIZE_TRIALS | (DML_SIZE_TRIALS if rows < 400 else {})).items():
            run_trial("search", seed, SIZES[rows], name, trial, on="unused")
    search_ensemble(seed)


def methods(seed: int) -> None:
    """Run every recipe on 100 labelled digits, as the first run."""
    regime = SIZES[100]
    for epochs in (60, 120, 240):
        plain("methods", seed, regime, Setting(epochs), name=f"plain, {epochs} epochs")
        smooth = Setting(epochs, smoothing=0.5)
        plain("methods", seed, regime, smooth, name=f"plain, smoothing, {epochs} epochs")
    plain("methods", seed, regime, Setting(dropout=True), name="plain, with dropout")
    for name, make in METHODS.items():
        method("methods", seed, regime, Setting(), name, make)
    for name in ("dml, T = 3, T² times", "self_distillation"):
        method("methods", seed, regime, Setting(smoothing=0.5), f"{name}, smoothing", METHODS[name])


def noisy_methods(seed: int) -> None:
    """Run every recipe on 400 labelled digits of which 40 % are labelled wrongly, for the plain network's epochs."""
    regime = NOISE[40]
    trials = noise_trials(regime)["plain"]
    best = trials[chosen(regime, trials)][0]
    for times in (1, 2, 4):
        longer = dataclasses.replace(best, epochs=times * best.epochs)
        plain("noisy_methods", seed, regime, longer, name=f"plain, {times} times")
    plain("noisy_methods", seed, regime, dataclasses.replace(best, dropout=True), name="plain, with dropout")
    for name, make in METHODS.items():
        method("noisy_methods", seed, regime, best, name, make)


def label_noise(seed: int) -> None:
    """Run each method with the setting that the search chose for the share of wrong labels."""
    for regime in NOISE.values():
        for kind, trials in noise_trials(regime).items():
            name = chosen(regime, trials)
            run_trial("label_noise", seed, regime, f"{kind}, searched: {name}", trials[name])
            if kind == "plain":
                setting = trials[name][0]
                longer = dataclasses.replace(setting, epochs=4 * setting.epochs)
                plain("label_noise", seed, regime, longer, name="plain, 4 times as long")
                plain("label_noise", seed, regime, Setting(), name="plain, as without noise")


def few_labels(seed: int) -> None:
    """Run the first run's method on more and fewer rows, each with the setting that the search chose."""
    for rows, regime in SIZES.items():
        trials = SIZE_TRIALS
        name = chosen(SIZES[min(rows, 400)], trials)
        setting = trials[name][0]
        plain("few_labels", seed, regime, Setting(), name="plain, as the first run's")
        plain("few_labels", seed, regime, setting, name=f"plain, searched: {name}")
        longer = dataclasses.replace(setting, epochs=240)
        plain("few_labels", seed, regime, longer, name="plain, searched, 240 epochs")
        plain(
            "few_labels", seed, regime, setting, name="plain, searched, held-out rows too", with_held_out=True
        )
        name = chosen(SIZES[min(rows, 200)], DML_SIZE_TRIALS)
        run_trial("few_labels", seed, regime, f"dml, searched: {name}", DML_SIZE_TRIALS[name])


PARTS: dict[str, Callable[[int], None]] = {
    "search": search,
    "methods": methods,
    "noisy_methods": noisy_methods,
    "label_noise": label_noise,
    "few_labels": few_labels,
    "ensemble": ensemble,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", nargs="?", choices=[*PARTS, "draw"])
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 2), metavar=("FIRST", "BEHIND_LAST"))
    args = parser.parse_args()
    if args.part == "draw":
        draw()
    elif args.part:
        with cpu_threads(1):
            for seed in range(*args.seeds):
                PARTS[args.part](seed)
    else:
        show()


if __name__ == "__main__":
    main()
