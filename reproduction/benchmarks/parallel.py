"""What a step costs on several processes, and what a model says that it costs on many GPUs.

    python -m reproduction.benchmarks.parallel measure      # 1, 2 and 4 processes of one thread each, here
    python -m reproduction.benchmarks.parallel predict      # tables for 8 to 512 GPUs; nothing is measured

CGL with four students on ResNet-18 of width 16, 64 rows of 32 x 32 a student (`--rows`). The whole step of one
process and the parts of all are taken in turn, so that a busy machine slows both alike. So are whole steps of
all processes at once, which exchange nothing: what the machine itself loses where more than one core computes.
The model, of which docs/scale.md speaks: the processes' own seconds add up to those of one process, and to what
an exchange of all gradients costs, measured by itself.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

import studygroup as sg
from reproduction.benchmarks.environment import environment, save
from studygroup.models.cifar import cifar_resnet18
from studygroup.parallel import part

STUDENTS, PIXELS, CLASSES = 4, 32, 10
CONSULTED = 1  # peers that each student hears: a quarter of three, rounded


def build() -> torch.nn.Module:
    """Return a new network."""
    return cifar_resnet18(CLASSES, width=16)


def task() -> sg.CollaborativeLearning:
    """Return a new task, the same in every process."""
    torch.manual_seed(0)
    return sg.recipes.cgl(build(), students=STUDENTS, init=build).train()


def measured(rank: int, ranks: int, folder: str, turns: int, of_each: int) -> None:
    """Take steps in one of several processes; the first writes what all have measured."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=ranks)
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(STUDENTS * of_each, 3, PIXELS, PIXELS, generator=draw)
    y, owner = torch.randint(CLASSES, (len(x),), generator=draw), torch.arange(len(x)) % STUDENTS
    alone, together = task(), DistributedDataParallel(task())
    mine = part(len(x), owner, students=STUDENTS, divide="students", rank=rank, ranks=ranks)
    gradients = torch.zeros(sum(p.numel() for p in alone.parameters()))
    rows = torch.zeros(len(mine.rows) * CONSULTED, 3, PIXELS, PIXELS)

    def at_once() -> None:
        alone(x, y, owner=owner).total.backward()

    def whole() -> None:
        if rank == 0:
            at_once()

    def parts() -> None:
        together(x[mine.rows], y[mine.rows], owner=mine.owner, share=mine.share).total.backward()

    def exchange() -> None:
        dist.all_reduce(gradients)

    def move_rows() -> None:
        dist.all_gather([torch.empty_like(rows) for _ in range(ranks)], rows)

    things: dict[str, Callable[[], None]] = {
        "whole": whole, "at once": at_once, "parts": parts, "exchange": exchange, "rows": move_rows,
    }  # fmt: skip
    found: dict[str, list[Any]] = {name: [] for name in things}
    for turn in range(turns + 1):
        for name, thing in things.items():
            dist.barrier()
            wall, cpu = time.perf_counter(), time.process_time()
            thing()
            here = torch.tensor([time.perf_counter() - wall, time.process_time() - cpu], dtype=torch.float64)
            every = [torch.empty_like(here) for _ in range(ranks)]
            dist.all_gather(every, here)
            if turn:  # the first one warms up
                found[name].append([one.tolist() for one in every])
    if rank == 0:
        torch.save((found, 4 * len(gradients), 4 * rows.numel()), Path(folder) / "found.pt")
    dist.barrier()  # else one is aborted at its end now and then
    dist.destroy_process_group()


def efficiencies(found: dict[str, list[Any]], ranks: int) -> dict[str, Any]:
    """Return the seconds and the efficiencies of a measurement, with 95 % intervals over its turns."""
    whole = [turn[0] for turn in found["whole"]]
    parts = [(max(one[0] for one in turn), sum(one[1] for one in turn)) for turn in found["parts"]]
    by_wall = [one[0] / (ranks * other[0]) for one, other in zip(whole, parts, strict=True)]
    alone = [
        one[0] / max(each[0] for each in turn) for one, turn in zip(whole, found["at once"], strict=True)
    ]
    by_cpu = [one[1] / other[1] for one, other in zip(whole, parts, strict=True)]
    exchange = (
        statistics.median(sum(one[1] for one in turn) for turn in found["exchange"]) if ranks > 1 else 0.0
    )
    rows = statistics.median(max(one[0] for one in turn) for turn in found["rows"])
    one = statistics.median(seconds[1] for seconds in whole)
    all_of_them = statistics.median(seconds[1] for seconds in parts)
    return {
        "processes": ranks,
        "turns": len(whole),
        "seconds_of_one_process": one,
        "seconds_of_all_processes": all_of_them,
        "seconds_of_exchange": exchange,
        "predicted": one + exchange,
        "error": (one + exchange) / all_of_them - 1,
        "efficiency_by_processor_time": _with_interval(by_cpu),
        "efficiency_by_wall_time": _with_interval(by_wall),
        "efficiency_without_exchange": _with_interval(alone),
        "efficiency_beside_that": _with_interval(
            [one / most for one, most in zip(by_wall, alone, strict=True)]
        ),
        "exchange_wall": statistics.median(max(one[0] for one in turn) for turn in found["exchange"]),
        "rows_wall": rows,
    }


def _with_interval(values: list[float]) -> dict[str, Any]:
    draw = torch.Generator().manual_seed(0)
    known = torch.tensor(values)
    medians = known[torch.randint(len(known), (2000, len(known)), generator=draw)].median(1).values
    low, high = medians.quantile(torch.tensor([0.025, 0.975])).tolist()
    return {"median": statistics.median(values), "interval": [low, high]}


def measure(turns: int, ranks: list[int], rows: int) -> None:
    """Measure, print and write the results."""
    results = []
    for count in ranks:
        with tempfile.TemporaryDirectory() as folder:
            mp.spawn(measured, (count, folder, turns, rows), nprocs=count)
            found, gradient_bytes, row_bytes = torch.load(Path(folder) / "found.pt")
        results.append(
            efficiencies(found, count) | {"gradient_bytes": gradient_bytes, "row_bytes": row_bytes}
        )
        said = "; ".join(
            f"{name} {one['median']:.3f} [{one['interval'][0]:.3f}, {one['interval'][1]:.3f}]"
            for name, one in (
                ("processor time", results[-1]["efficiency_by_processor_time"]),
                ("wall time", results[-1]["efficiency_by_wall_time"]),
                ("wall time of processes that exchange nothing", results[-1]["efficiency_without_exchange"]),
                ("wall time over theirs", results[-1]["efficiency_beside_that"]),
            )
        )
        print(
            f"{count} processes: efficiency by {said}; model {100 * results[-1]['error']:+.1f} %", flush=True
        )
    save("parallel", {"environment": environment(), "rows": rows, "results": results})


@dataclass(frozen=True)
class Cluster:
    """Assumptions on the machines; none of them was measured here.

    Attributes:
        on_one: GPUs of a machine.
        inside: bytes a second between the GPUs of a machine, of each GPU and direction.
        between: the same between machines.
        latency: seconds of a step of the ring.
        overlap: share of the exchange that hides behind the backward pass, at most two thirds of the step.
    """

    on_one: int = 8
    inside: float = 300e9
    between: float = 40e9
    latency: float = 5e-6
    overlap: float = 0.7


@dataclass(frozen=True)
class Net:
    """Assumptions on a network: millions of parameters, and pictures a second in training on one GPU."""

    name: str
    millions: float
    speed: float


NETS = (Net("ResNet-50", 25.6, 2500.0), Net("ViT-B/16", 86.6, 1000.0))


def step_seconds(
    net: Net, gpus: int, rows: float, *, copies: float, passes: float, on: Cluster
) -> tuple[float, float]:
    """Return the seconds of a step's arithmetic, and of what is seen of its exchange.

    Args:
        net: the network.
        gpus: how many.
        rows: supervised rows of each GPU.
        copies: the group's parameters over those of one network.
        passes: passes of a row, those of consulted peers included.
        on: the machines.
    """
    arithmetic = rows * passes / net.speed
    if gpus == 1:
        return arithmetic, 0.0
    speed = on.inside if gpus <= on.on_one else on.between
    sent = 2 * (gpus - 1) / gpus * 4e6 * net.millions * copies
    exchange = sent / speed + 2 * (gpus - 1) * on.latency
    return arithmetic, exchange - min(on.overlap * exchange, 2 / 3 * arithmetic)


def predict() -> None:
    """Print the predictions for CGL of 8 students, 2 modules a layer, 2 peers consulted."""
    counts = (1, 8, 16, 32, 64, 128, 256, 512)
    print("| network | rows | " + " | ".join(map(str, counts)) + " |\n|---|---|" + "---|" * len(counts))
    for net in NETS:
        for said, of_each in (("64 a GPU", lambda n: 64.0), ("2,048 a step", lambda n: 2048 / n)):
            cells = []
            for count in counts:
                work, wait = step_seconds(net, count, of_each(count), copies=2, passes=3, on=Cluster())
                cells.append(f"{work / (work + wait):.2f}")
            print(f"| {net.name} | {said} | " + " | ".join(cells) + " |")


def main() -> None:
    """Measure or predict."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("measure", "predict"))
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--rows", type=int, default=64, help="rows of each student")
    args = parser.parse_args()
    predict() if args.what == "predict" else measure(args.turns, args.ranks, args.rows)


if __name__ == "__main__":
    main()
