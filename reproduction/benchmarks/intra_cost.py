"""The cost of each part of intra-model collaborative learning relative to the plain network: memory and time.

    python reproduction/benchmarks/intra_cost.py memory  # the paper's case: ResNet-101, 64 images of 3 x 64 x 64
    python reproduction/benchmarks/intra_cost.py time    # ResNet-18 of width 64, 128 images of 3 x 32 x 32

Memory is the peak of what one step (forward, backward, update) allocates, by the allocator's events, including
gradients but not parameters and momentum; also what is alive between forward and backward. Times alternate with the
plain network's, in pairs: median ratio with a 95 % bootstrap interval, and the ratio of floating-point operations
of convolutions and matrix products in forward and backward. Parts that are already in the results are not measured
again.

Both networks end in three fully connected layers with dropout 0.5 after the first two, as in the paper.
"""

import argparse
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from typing import Any

import torch
from torch import Tensor, nn

import studygroup as sg
from environment import available_gib, environment, load, save
from steps import first_loss, flops, training_step
from studygroup.analysis.cost import Step, allocated
from studygroup.models import build
from timing import cell, in_turn, ratios

SKIPPED = ("L_mid", "L_pull-push")  # of memory: what they take is within what both take
PARTS: dict[str, dict[str, float]] = {
    "plain": {},
    "L_out": {"out": 1.0},
    "L_kernel": {"kernel": 0.01},
    "L_mid": {"mid": 1.0},
    "L_pull-push": {"pull_push": 0.001},
    "L_mid + L_pull-push": {"mid": 1.0, "pull_push": 0.001},
    "all four": {"out": 1.0, "mid": 1.0, "pull_push": 0.001, "kernel": 0.01},
}
CLASSES = 10
TREE = {"layer3": [0, 0, 1, 1], "layer4": [0, 1, 2, 3], "fc": [0, 1, 2, 3]}


def resnet101() -> nn.Module:
    """Build a ResNet-101 with the stem for small images, whose plain step is nearest to the paper's 8.77 GB."""
    return build("cifar_resnet101", classes=CLASSES, hidden=(512, 512))


def resnet18(width: int) -> nn.Module:
    return build("cifar_resnet18", classes=CLASSES, width=width, hidden=(512, 512))


def make(part: str, net: nn.Module, example: Tensor) -> sg.CollaborativeLearning:
    if part == "tree of four":
        return sg.recipes.tree(net, table=TREE)
    return sg.recipes.intra(net, example=example, **PARTS[part]) if PARTS[part] else sg.recipes.baseline(net)


def step_of(part: str, net: nn.Module, x: Tensor) -> Step:
    return training_step(make(part, net, x[:2]), x, torch.arange(len(x)) % CLASSES, lr=1e-3, momentum=0.9)


def prime(step: Step) -> None:
    """Create the optimiser's momentum, which exists in every step but the first."""
    for parameter in step.task.parameters():
        parameter.grad = torch.zeros_like(parameter)
    step.optimizer.step()
    step.optimizer.zero_grad()


def one_memory(part: str, rows: int, threads: int) -> dict[str, int]:
    """Return peak and kept bytes of one part's step."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    step = step_of(part, resnet101(), torch.randn(rows, 3, 64, 64))
    prime(step)
    cpu = torch.device("cpu")
    forward = allocated(partial(first_loss, step), cpu)
    return {
        "peak": allocated(step.take, cpu).peak,
        "forward_peak": forward.peak,
        "kept": forward.left,
        "parameters": sum(p.numel() for p in step.task.parameters()),
    }


def memory(args: argparse.Namespace) -> None:
    free = available_gib()
    if free < 16 * args.rows / 64:
        raise SystemExit(f"{free:.1f} GiB of memory are free, and 64 rows need 16 GiB: skipped")
    known = load("intra_memory")
    results = known.get("results", {}) if known.get("rows") == args.rows else {}
    for part in [p for p in [*PARTS, "tree of four"] if p not in (*SKIPPED, *results)]:
        with get_context("spawn").Pool(1) as pool:  # a process each: nothing is left of the one before
            results[part] = pool.apply(one_memory, (part, args.rows, args.threads))
        save("intra_memory", {"environment": environment(), "rows": args.rows, "results": results})
    print(
        "| part | peak of a step, GB | / plain | after the forward pass, GB | / plain | parameters / plain |"
    )
    print("|---|---|---|---|---|---|")
    plain = results["plain"]
    for part, r in results.items():
        sizes = " | ".join(f"{r[key] / 1e9:.3f} | {r[key] / plain[key]:.4f}" for key in ("peak", "kept"))
        print(f"| {part} | {sizes} | {r['parameters'] / plain['parameters']:.3f} |")


def times(args: argparse.Namespace) -> None:
    x = torch.randn(args.rows, 3, 32, 32)
    setting = {name: getattr(args, name) for name in ("rows", "width", "pairs", "threads")}
    known = load("intra_time")
    same = all(known.get(name) == value for name, value in setting.items())
    results: list[dict[str, Any]] = known["results"] if same else []
    done = [result["part"] for result in results]
    for part in [p for p in PARTS if p != "plain" and p not in done]:
        torch.manual_seed(0)
        plain, own = (step_of(name, resnet18(args.width), x) for name in ("plain", part))
        operations = flops(own) / flops(plain)
        pairs = in_turn([plain.take, own.take], turns=args.pairs)
        results.append({"part": part, "flops": operations, **ratios(pairs, of=1, to=0), "pairs": pairs})
        save("intra_time", {"environment": environment(), **setting, "results": results})
    print("| part | operations / plain | wall time / plain | process time / plain |")
    print("|---|---|---|---|")
    for r in results:
        print(f"| {r['part']} | {r['flops']:.3f} | {cell(r['wall'])} | {cell(r['process'])} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    runs: dict[str, Callable[[argparse.Namespace], None]] = {"memory": memory, "time": times}
    parser.add_argument("run", choices=runs)
    parser.add_argument("--rows", type=int, default=0, help="64 for memory, 128 for time")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    args.rows = args.rows or (64 if args.run == "memory" else 128)
    torch.set_num_threads(args.threads)
    runs[args.run](args)


if __name__ == "__main__":
    main()
