"""What a step of Collaborative Group Learning costs over the plain network's, against the arithmetic.

By arithmetic a supervised pass is 3 units a row (forward 1, backward 2) and each consulted peer 1 unit, so with
two peers a step costs 5/3 of the plain network's on the same rows. With p = 2/K the cost and the number of
parameters should not change as students join.

    python reproduction/benchmarks/cgl_cost.py

Both are measured in turn, in pairs; the table gives the median ratio with a 95 % bootstrap interval, for wall
time and for process time.
"""

import argparse
from typing import Any

import torch

import studygroup as sg
from environment import environment, save
from steps import training_step
from studygroup.analysis.cost import Step, parameters
from studygroup.layers import blocks
from studygroup.models import cifar_resnet18
from timing import cell, in_turn, ratios


def step_of(task: sg.CollaborativeLearning, rows: int, students: int) -> Step:
    """One training step: losses, gradients, Adam."""
    owner = torch.arange(students).repeat_interleave(rows // students) if students > 1 else None
    x, y = torch.randn(rows, 3, 32, 32), torch.randint(10, (rows,))
    return training_step(task, x, y, optimiser=torch.optim.Adam, owner=owner, lr=1e-3)


def compare(students: int, args: argparse.Namespace) -> dict[str, Any]:
    torch.manual_seed(0)
    plain = sg.recipes.baseline(cifar_resnet18(10, width=args.width))
    model = cifar_resnet18(10, width=args.width)
    group = sg.recipes.cgl(model, layers=blocks(model), students=students, probability=2 / students)
    steps = [step_of(plain, args.rows, 1), step_of(group, args.rows, students)]
    pairs = in_turn([step.take for step in steps], turns=args.pairs)
    return {
        "students": students,
        "parameters": parameters(group) / parameters(plain),
        "pairs": pairs,
        **ratios(pairs, of=1, to=0),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--students", type=int, nargs="+", default=[4, 8, 16, 32])
    parser.add_argument("--rows", type=int, default=512, help="rows of a step, all students together")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--pairs", type=int, default=10)
    args = parser.parse_args()
    results = [compare(students, args) for students in args.students]
    save(
        "cgl_cost", {"environment": environment(), "rows": args.rows, "width": args.width, "results": results}
    )
    print("| students | p | parameters / plain | wall time / plain | process time / plain | arithmetic |")
    print("|---|---|---|---|---|---|")
    for r in results:
        own = f"| {r['students']} | {2 / r['students']:.3g} | {r['parameters']:.2f}"
        print(f"{own} | {cell(r['wall'])} | {cell(r['process'])} | 1.67 |")


if __name__ == "__main__":
    main()
