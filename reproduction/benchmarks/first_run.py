"""Search the first run, which `studygroup train` without arguments and `examples/own_loop.py` train, and score it.

    python -m reproduction.benchmarks.first_run search --seeds 0 10       # hold-out rows decide
    python -m reproduction.benchmarks.first_run own_loop --seeds 100 111   # the example as it is, on its test rows
    python -m reproduction.benchmarks.first_run train --seeds 100 116     # the command as it is, on its test rows
    python -m reproduction.benchmarks.first_run                            # the tables of all finished cells

The task: scikit-learn's digits, 100 labelled rows to learn from and 50 to choose the student by. In the search,
networks are judged by the 750 other rows that the example does not test on. The plain network's learning rate and
epochs are searched too, and methods use its rate. A finished cell is never repeated; several processes may share
one file.
"""

import argparse
import dataclasses
import runpy
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import studygroup as sg
from reproduction.benchmarks.cells import Cells, over, spread
from studygroup.training import train
from studygroup.training.computing import cpu_threads
from studygroup.training.first_run import first_run

CELLS = Cells(Path(__file__).parent / "results" / "first_run.json")
EXAMPLE = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "own_loop.py"))
FIGURES = {"shipped": "shipped", "students_mean": "mean of students", "ensemble": "ensemble"}

network = EXAMPLE["network"]


def plain(**options: Any) -> tuple[Callable[[int], sg.CollaborativeLearning], dict[str, Any]]:
    """Train the plain network with these settings."""
    return lambda seed: sg.recipes.baseline(network()), options


def group(recipe: Callable[..., Any], **options: Any) -> tuple[Callable[[int], Any], dict[str, Any]]:
    """Build a recipe on the network; `epochs`, `lr` and `batch` are the loop's."""
    loop = {name: options.pop(name) for name in ("epochs", "lr", "batch") if name in options}
    return lambda seed: recipe(network(), **{"init": network, **options}), loop


recipes = sg.recipes
BASE, CHOSEN = "plain", "dml, T = 3, T² times"
CGL = {"layers": ["0", "2", "4"], "init": "copy", "peers_gradient": True, "temperature": 1.0}
SEARCH: dict[str, tuple[Callable[[int], Any], dict[str, Any]]] = {
    BASE: plain(),
    CHOSEN: group(recipes.dml, students=4, temperature=3.0, scale_by_t2=True),
    "dml": group(recipes.dml, students=4),
    "multi_instance, alpha = 0.1, T = 3": group(
        recipes.multi_instance, students=4, alpha=0.1, temperature=3.0, reduction="sum"
    ),
    "plain, lr 0.003": plain(lr=0.003),
    "plain, 240 epochs": plain(epochs=240),
    "cgl, one start, all rows for each": group(recipes.cgl, subsets=False, **CGL),
    "plain, lr 0.03": plain(lr=0.03),
    "plain, 30 epochs": plain(epochs=30),
    "cl_ilr, alpha = 0.1, T = 3": group(
        recipes.cl_ilr, layers=["4", "6"], students=4, alpha=0.1, temperature=3.0, reduction="sum"
    ),
    "kdcl": group(recipes.kdcl, students=4),
    "one": group(recipes.one, layers=["4", "6"], students=4, example=torch.zeros(2, 64)),
}
"""Cells of the search in order of value."""


def search(seed: int, most: int | None = None) -> None:
    """Run the cells that one seed lacks, and score them on rows used neither for learning nor for testing."""
    rows = EXAMPLE["digits"](seed)
    for name, (make, options) in list(SEARCH.items())[:most]:
        if seed in CELLS.known().get(f"search | {name}", {}):
            continue
        begun = time.process_time()
        torch.manual_seed(seed)
        task = make(seed)
        EXAMPLE["fit"](task, *rows["train"], **{"epochs": 60, **options})
        held_out, _ = EXAMPLE["accuracies"](task, *rows["hold-out"])
        students, ensemble = EXAMPLE["accuracies"](task, *rows["unused"])
        figures = {
            "shipped": students[held_out.index(max(held_out))],
            "students_mean": statistics.mean(students),
            "ensemble": ensemble,
            "seconds": time.process_time() - begun,
        }
        CELLS.keep(f"search | {name}", seed, figures)


def own_loop(seed: int) -> None:
    """Run the example unchanged, and the plain network four times as long, which costs as much."""
    if seed in CELLS.known().get(f"own_loop | {CHOSEN}", {}):
        return
    begun = time.process_time()
    found = EXAMPLE["main"](seed)
    seconds = time.process_time() - begun
    rows = EXAMPLE["digits"](seed)
    longer = recipes.baseline(network())
    EXAMPLE["fit"](longer, *rows["train"], epochs=240)
    long = EXAMPLE["accuracies"](longer, *rows["test"])[1]
    CELLS.keep(f"own_loop | {BASE}", seed, dict.fromkeys(FIGURES, found.pop("plain")))
    CELLS.keep(f"own_loop | {BASE}, 240 epochs", seed, dict.fromkeys(FIGURES, long))
    CELLS.keep(f"own_loop | {CHOSEN}", seed, found | {"seconds": seconds})


def command(seed: int) -> None:
    """Run `studygroup train` unchanged."""
    if seed in CELLS.known().get(f"train | {CHOSEN}", {}):
        return
    settings = dataclasses.replace(first_run(), seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        begun = time.process_time()
        summary = train(settings, run_dir=Path(folder) / "run", progress_bar=False).summary
        seconds = time.process_time() - begun
    figures = summary.figures() | {"shipped": summary.shipped.test, "seconds": seconds}
    CELLS.keep(f"train | {BASE}", seed, dict.fromkeys(FIGURES, summary.baseline.test))
    CELLS.keep(f"train | {CHOSEN}", seed, figures)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", nargs="?", choices=list(PARTS))
    parser.add_argument("--cells", type=int, help="only so many cells of the search")
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 10), metavar=("FIRST", "BEHIND_LAST"))
    args = parser.parse_args()
    if args.part:
        with cpu_threads(1):
            for seed in range(*args.seeds):
                search(seed, args.cells) if args.part == "search" else PARTS[args.part](seed)
    for part in PARTS:
        show(part)


def show(part: str) -> None:
    """Print the finished cells of a part: accuracies, and differences from the plain network's, paired by seed."""
    found = {
        name.partition(" | ")[2]: runs
        for name, runs in CELLS.known().items()
        if name.partition(" | ")[0] == part
    }
    if BASE not in found:
        return
    print(f"\n{part}\n")
    print(f"| | n | {' | '.join(f'{words} | over the plain network' for words in FIGURES.values())} |")
    print("|---" * (2 + 2 * len(FIGURES)) + "|")
    for name, runs in found.items():
        said = []
        for figure in FIGURES:
            said += [spread(runs, figure), over(runs, found[BASE], figure) if name != BASE else ""]
        print(f"| {name} | {len(runs)} | {' | '.join(said)} |")


PARTS: dict[str, Callable[[int], None]] = {"search": search, "own_loop": own_loop, "train": command}

if __name__ == "__main__":
    main()
