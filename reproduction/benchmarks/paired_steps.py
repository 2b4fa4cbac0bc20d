"""The cost of a training step of every recipe in one checkout relative to another: CPU time and peak memory.

    python reproduction/benchmarks/paired_steps.py OLD/src NEW/src

Two processes, one for each source tree, take steps in turn, the one after the other and then the other way round,
on the small convolutional network of the tests. The batch is doubled until a step of the old tree takes `--least`
milliseconds. A process may be ten per cent faster than the next one of the same code all its life, so there are
several rounds, each with new processes: the table gives the geometric mean over rounds of each round's median
ratio new / old, taken for either order by itself, with a 95 % interval by Student's t over rounds. Peak memory is
what a step allocates, by the allocator's events. Recipes are those of `tests/snapshot_tasks.py` beside each source
tree, or where that has none, of this checkout; the other measuring is done by this checkout for both.
"""

import argparse
import importlib.util
import json
import math
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from scipy.stats import t

from timing import Pair, cell

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TASKS = ("helpers/snapshot_tasks.py", "snapshot_tasks.py")  # now, and before the redesign
MOST_ROWS = 1024


def answer() -> None:
    """Run the process of one source tree: make a step, take it, measure its memory, as told line by line."""
    beside = Path(os.environ["PYTHONPATH"]).parent / "tests"
    sys.path.insert(0, str(beside if any((beside / name).exists() for name in TASKS) else ROOT / "tests"))
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    take: Callable[[], None] = lambda: None
    for line in sys.stdin:
        what, *rest = json.loads(line)
        found: Any = None
        if what == "make":
            take = step(*rest)
        elif what == "step":
            wall, cpu = time.perf_counter(), time.process_time()
            take()
            found = time.perf_counter() - wall, time.process_time() - cpu
        else:
            found = memory().allocated(take, torch.device("cpu")).peak
        print(json.dumps(found), flush=True)


def step(name: str, rows: int) -> Callable[[], None]:
    """Return forward, backward and update of a recipe; only public names are used."""
    import studygroup as sg

    tasks = importlib.import_module("helpers.snapshot_tasks" if hasattr(sg, "teachers") else "snapshot_tasks")

    case = tasks.NETWORKS["resnet"]
    torch.manual_seed(0)
    task = tasks.RECIPES[name](case).train()
    optimiser = torch.optim.SGD([p for p in task.parameters() if p.requires_grad], lr=1e-3, momentum=0.9)
    x, y = case.inputs(rows), torch.arange(rows) % 7
    owner = torch.arange(rows) % task.group.students if isinstance(task.rows, sg.Subsets) else None

    def take() -> None:
        for losses in task.steps(x, y, owner=owner, progress=1.0):
            losses.total.backward()
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)  # at the end: a step frees nothing that was there before it

    return take


def memory() -> Any:
    """Return this checkout's function that measures memory, whatever the source tree."""
    file = ROOT / "src" / "studygroup" / "analysis" / "cost.py"
    spec = importlib.util.spec_from_file_location("cost_in_this_checkout", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class Tree:
    """The process of one source tree, seen from outside."""

    def __init__(self, source: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, "answer"],
            env=os.environ | {"PYTHONPATH": str(source.resolve()), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *what: Any) -> Any:
        """Have a command carried out there, and wait for the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the process of {self.process.args} ended; its error stands above")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def rows_for(old: Tree, name: str, *, least: float) -> int:
    """Return the batch size with which a recipe's step takes at least so many seconds."""
    rows, seconds = 8, 0.0
    while seconds < least and rows < MOST_ROWS:
        rows *= 2
        old("make", name, rows)
        seconds = min(old("step")[1] for _ in range(3))
    return rows


def one_round(trees: Sequence[Tree], name: str, rows: int, *, turns: int) -> dict[str, Any]:
    """Return pairs of steps of one recipe, and the peak memory of each tree's."""
    for tree in trees:
        tree("make", name, rows)
        tree("step")
    peaks = [tree("memory") for tree in trees]
    pairs: list[Pair] = []
    for turn in range(turns):
        order = (0, 1) if turn % 2 == 0 else (1, 0)
        times = {which: tuple(trees[which]("step")) for which in order}
        pairs.append((times[0], times[1]))
    return {"peak_bytes": peaks, "pairs": pairs}


def over_rounds(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the mean ratio of process time with its interval, and the ratio of peaks."""
    logs = []
    for found in rounds:
        each = [math.log(new[1] / old[1]) for old, new in found["pairs"]]
        # the first of a pair pays for cold caches: both orders count the same
        logs.append(statistics.mean((statistics.median(each[::2]), statistics.median(each[1::2]))))
    mean, half = statistics.mean(logs), math.inf
    if len(logs) > 1:
        half = float(t.ppf(0.975, len(logs) - 1)) * statistics.stdev(logs) / math.sqrt(len(logs))
    old, new = (statistics.median(found["peak_bytes"][which] for found in rounds) for which in (0, 1))
    return {
        "milliseconds": 1e3 * statistics.median(old[1] for found in rounds for old, _ in found["pairs"]),
        "process": {"median": math.exp(mean), "interval": (math.exp(mean - half), math.exp(mean + half))},
        "memory": new / old,
    }


def main() -> None:
    sys.path.insert(0, str(ROOT / "tests"))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old", type=Path, help="source tree (the folder src) of one checkout")
    parser.add_argument("new", type=Path, help="and of another")
    parser.add_argument("--recipes", nargs="+", help="omitted, all")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of new processes")
    parser.add_argument("--turns", type=int, default=10, help="pairs of steps of each recipe in a round")
    parser.add_argument("--least", type=float, default=20.0, help="milliseconds that a step takes at least")
    parser.add_argument("--json", type=Path, help="where to keep the raw numbers")
    args = parser.parse_args()
    if args.turns < 2:
        parser.error("one pair has one order; give --turns 2 or more")
    wrong = [source for source in (args.old, args.new) if not (source / "studygroup").is_dir()]
    if wrong:
        parser.error(f"{wrong[0]} holds no studygroup; give the folder src of a checkout")
    if not args.recipes:
        from helpers.snapshot_tasks import RECIPES

        args.recipes = list(RECIPES)
    rows: dict[str, int] = {}
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in args.recipes}
    for number in range(args.rounds):
        trees = [Tree(source) for source in (args.old, args.new)]
        for name in args.recipes:
            if name not in rows:
                rows[name] = rows_for(trees[0], name, least=args.least / 1e3)
            rounds[name].append(one_round(trees, name, rows[name], turns=args.turns))
        for tree in trees:
            tree.close()
        print(f"round {number + 1} of {args.rounds}", file=sys.stderr)
    results = [
        {"recipe": name, "rows": rows[name], **over_rounds(found), "rounds": found}
        for name, found in rounds.items()
    ]
    print(
        f"{args.rounds} rounds of {args.turns} pairs a recipe, process time, 1 thread, torch {torch.__version__}\n"
    )
    print("| recipe | rows | old, ms | time, new / old | peak memory, new / old |\n|---|---|---|---|---|")
    for r in results:
        sizes = f"{r['rows']} | {r['milliseconds']:.0f}"
        print(f"| {r['recipe']} | {sizes} | {cell(r['process'])} | {r['memory']:.4f} |")
    if args.json:
        about = {"old": str(args.old), "new": str(args.new), "torch": torch.__version__}
        content = about | {"rounds": args.rounds, "turns": args.turns, "results": results}
        args.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    answer() if sys.argv[1:] == ["answer"] else main()
