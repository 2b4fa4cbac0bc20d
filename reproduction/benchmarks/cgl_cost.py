"""The cost of a step of Collaborative Group Learning relative to the plain network's, against the arithmetic.

Owners and the peers they consult are computed in one pass (`joint`) or in two (`train`, `eval`), and peers are
moved by the loss or constant. By arithmetic a supervised pass is 3 units per row (forward 1, backward 2), a
constant peer in a separate pass 1 unit, a moved one 3: with two peers 5/3 and 3 of the plain network's step. One
pass computes shared prefixes of paths once; its arithmetic is that of the convolutions and matrix products that it
really has, counted by PyTorch, including the backward pass through constant peers. With p = 2/K the cost and the
number of parameters should not change as students join.

    python reproduction/benchmarks/cgl_cost.py
    python reproduction/benchmarks/cgl_cost.py --pairs 0 --size 8         # counts only: operations go with the pixels
    python reproduction/benchmarks/cgl_cost.py --profile                  # where the time of a step goes, K = 8

All variants alternate with the plain network; the table gives the median ratio of CPU times with a 95 % bootstrap
interval, which other work on the machine affects less than wall time. Memory is the most that a step (forward,
backward, Adam) has allocated at once beyond what was there before, from the allocator's own events, which PyTorch's
profiler reports on a CPU too; the plain network's is 1.
"""

import argparse
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

import studygroup as sg
from environment import environment, save
from steps import flops, training_step
from studygroup.analysis.cost import Step, allocated, parameters
from studygroup.layers import blocks
from studygroup.models import cifar_resnet18
from timing import cell, in_turn, ratios

WAYS: dict[str, dict[str, Any]] = {
    f"{peers}, {'moved' if moved else 'constant'}": {"peers": peers, "peers_gradient": moved}
    for moved in (True, False)
    for peers in ("joint", "train", "eval")
}
KINDS = {
    "convolutions": ("convolution",),
    "batch norm": ("batch_norm",),
    "taking and joining rows": ("cat", "index", "split", "slice", "narrow", "gather"),
    "optimiser": ("_foreach", "Optimizer"),
    "copies, sums and zeros": ("copy_", "add", "zero", "fill", "clone"),
    "rectifiers": ("relu", "threshold"),
}


def step_of(task: sg.CollaborativeLearning, args: argparse.Namespace) -> Step:
    """Return one training step: losses, gradients, Adam."""
    students = task.group.students
    owner = torch.arange(students).repeat_interleave(args.rows // students) if students > 1 else None
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(args.rows, 3, args.size, args.size, generator=draw)
    y = torch.randint(10, (args.rows,), generator=draw)
    return training_step(task, x, y, optimiser=torch.optim.Adam, owner=owner, lr=1e-3)


def plain(args: argparse.Namespace) -> Step:
    """Build the plain network's step."""
    return step_of(sg.recipes.baseline(cifar_resnet18(10, width=args.width)), args)


def group(students: int, way: str, args: argparse.Namespace) -> Step:
    """Build a group's step."""
    model = cifar_resnet18(10, width=args.width)
    task = sg.recipes.cgl(
        model, layers=blocks(model), students=students, probability=2 / students, **WAYS[way]
    )
    return step_of(task, args)


def compare(students: int, args: argparse.Namespace) -> dict[str, Any]:
    """Measure all variants with some number of students."""
    torch.manual_seed(0)
    steps = [plain(args), *(group(students, way, args) for way in WAYS)]
    pairs = in_turn(
        [step.take for step in steps], turns=args.pairs
    )  # the first turn, untimed, has the dry run
    work = [flops(step) for step in steps]
    memory = [allocated(step.take, torch.device("cpu")).peak for step in steps]
    return {
        "students": students,
        "parameters": parameters(steps[1].task) / parameters(steps[0].task),
        "pairs": pairs,
        "ways": {
            way: {
                **(ratios(pairs, of=i, to=0) if pairs else {}),
                "arithmetic": work[i] / work[0],
                "memory": memory[i] / memory[0],
            }
            for i, way in enumerate(WAYS, 1)
        },
    }


def where(step: Step, *, turns: int = 3) -> dict[str, float]:
    """Return milliseconds of a step by kind of operation."""
    step.take()
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        for _ in range(turns):
            step.take()
    found = dict.fromkeys([*KINDS, "the rest"], 0.0)
    for event in seen.key_averages():
        kind = next((k for k, names in KINDS.items() if any(n in event.key for n in names)), "the rest")
        found[kind] += event.self_cpu_time_total / 1000 / turns
    return found


def print_profile(args: argparse.Namespace) -> None:
    """Print a table of where the time goes."""
    torch.manual_seed(0)
    steps = {"plain": plain(args)} | {way: group(8, way, args) for way in WAYS if "eval" not in way}
    found = {name: where(step) for name, step in steps.items()}
    work = [flops(step) for step in steps.values()]
    whole = sum(found["plain"].values())
    lines = {kind: [one[kind] / whole for one in found.values()] for kind in found["plain"]}
    lines["together"] = [sum(one.values()) / whole for one in found.values()]
    lines["arithmetic"] = [own / work[0] for own in work]
    print(f"| over the plain step ({whole:.0f} ms) | {' | '.join(found)} |\n{'|---' * (len(found) + 1)}|")
    for kind, shares in lines.items():
        print(f"| {kind} | {' | '.join(f'{share:.2f}' for share in shares)} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--students", type=int, nargs="+", default=[4, 8, 16, 32, 64])
    parser.add_argument("--rows", type=int, default=128, help="rows of a step, all students together")
    parser.add_argument("--size", type=int, default=16, help="pixels of a side")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--pairs", type=int, default=4, help="0 counts, and measures no time")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--profile", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.profile:
        print_profile(args)
        return
    results = []
    for students in args.students:
        results.append(compare(students, args))
        if args.pairs:
            save("cgl_cost", {"environment": environment(), **vars(args), "results": results})
    print(f"| students | way | parameters | processor time | arithmetic | memory |\n{'|---' * 6}|")
    for r in results:
        for way, found in r["ways"].items():
            own = f"{found['arithmetic']:.2f} | {found['memory']:.2f}"
            time = cell(found["process"]) if args.pairs else ""
            print(f"| {r['students']} | {way} | {r['parameters']:.2f} | {time} | {own} |")


if __name__ == "__main__":
    main()
