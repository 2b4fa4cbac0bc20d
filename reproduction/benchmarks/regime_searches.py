"""The searches by which the regimes of scale `small` were chosen: every trial of `studygroup tune`, on hold-out rows.

    python -m reproduction.benchmarks.regime_searches cifar100=runs/regime-cifar100 --save

Prints the finished trials by their hold-out accuracy over the last fifth of the epochs, which chance moves less than
that of the last epoch.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from reproduction.benchmarks.environment import environment, load, save
from studygroup.analysis.convergence import late_change, way
from studygroup.training.history import read_history
from studygroup.training.tables import markdown

NAME = "regime_searches"


def trials(folder: Path) -> list[dict[str, Any]]:
    """Return the trials of a search, with what the curves of the finished ones say.

    Adds the mean hold-out accuracy of the last fifth of the epochs, its change in this fifth in points, by which a
    regime has converged or has not, and the loss on the training rows in the last epoch.

    Raises:
        ValueError: a trial of several seeds: only one is read.
    """
    kept = ("trial", "state", "holdout", "epochs", "last", "values")
    found = []
    for trial in json.loads((folder / "trials.json").read_text()):
        one = {name: trial[name] for name in kept}
        if trial["state"] == "finished":
            if len(trial["holdout_seeds"]) != 1:
                raise ValueError(f"trial {trial['trial']} of {folder} has several seeds; search with one")
            metrics = next((folder / f"trial-{trial['trial']:04d}").glob("seed-*/metrics.csv"))
            held = way(metrics, device=None)["holdout"]
            one["last_fifth"] = statistics.fmean(held[-max(len(held) // 5, 1) :])
            one["late_change"] = late_change(held)
            one["training_loss"] = read_history(metrics)[-1].loss
        found.append(one)
    return found


def table(found: list[dict[str, Any]]) -> str:
    """Return the finished trials as a table, the best first."""
    done = sorted((one for one in found if "last_fifth" in one), key=lambda one: -one["last_fifth"])
    names = list(done[0]["values"]) if done else []
    return markdown(
        [
            (
                *(_said(one["values"][name]) for name in names),
                f"{100 * one['last_fifth']:.1f}",
                "unknown" if one["late_change"] is None else f"{one['late_change']:+.1f}",
                f"{100 * one['last']:.1f}",
                f"{one['training_loss']:.2f}",
            )
            for one in done
        ],
        head=(*names, "last fifth", "change in it", "at the end", "loss on training rows"),
    )


def _said(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


def main() -> None:
    """Print searches, and keep them beside those that are kept already."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("search", nargs="+", metavar="NAME=FOLDER", help="of a search, and where it ran")
    parser.add_argument("--save", action="store_true", help="keep the trials with the results")
    args = parser.parse_args()
    kept = load(NAME).get("searches", [])
    for given in args.search:
        name, equals, folder = given.partition("=")
        if not equals:
            parser.error(f"{given} has no folder; give NAME=FOLDER, such as cifar100=runs/regime-cifar100")
        found = trials(Path(folder))
        print(f"{name}: {len(found)} trials\n\n{table(found)}\n")
        kept = [one for one in kept if one["search"] != name] + [{"search": name, "trials": found}]
    if args.save:
        save(NAME, {"environment": environment(), "searches": kept})


if __name__ == "__main__":
    main()
