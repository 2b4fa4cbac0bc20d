"""What `torch.compile` costs and gains: the plain network beside tasks, as written and compiled.

    python -m reproduction.benchmarks.compiled_steps --methods baseline dml cgl

Of every method a step (losses, gradients, SGD) is taken as written, then compiled by `torch.compile(task)`; the plain
network, compiled by itself, comes first in every run. Both are timed in turn, in seconds of the processor, so that
other work on the machine counts little: the process and the compilers that it starts, one thread each. `seconds` are
what the first steps take beyond later ones, without the compiler's cache; a small network is compiled before all
others, for what only the first takes. `graphs` and `recompiled` are the graphs that the first compiled step makes and
those of all later ones, in which owners change, and `largest_difference` is that of the gradients of a step, relative
to all. Each method is written down as it ends, beside those measured before.
"""

import argparse
import copy
import resource
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
import torch._inductor.config
import torch.nn.functional as F
from torch import Tensor, nn

import studygroup as sg
from reproduction.benchmarks.environment import environment, load, save
from reproduction.gpu.methods import METHODS
from reproduction.gpu.network import Network, full

PLAIN = "plain network"
NAME = "compiled_steps"
_WARM = 3  # the first step of a sort runs as written, and later ones may find sizes that vary
Take = Callable[[], dict[str, Tensor]]


class Counting:
    """A backend of `torch.compile` that counts the graphs it is given; those without a call are none.

    Args:
        name: of the backend that compiles them.
    """

    def __init__(self, name: str) -> None:
        self.inner = torch._dynamo.lookup_backend(name)
        self.graphs = 0

    def __call__(self, graph: torch.fx.GraphModule, example: list[Any]) -> Callable[..., Any]:
        """Compile a graph."""
        compiled: Callable[..., Any] = self.inner(graph, example)  # raises where torch means to trace anew
        self.graphs += any(node.op.startswith("call") for node in graph.graph.nodes)
        return compiled


def stepping(module: nn.Module, call: Callable[..., Any], rows: int, pixels: int) -> Take:
    """Return a step on the same pictures again and again, with owners dealt anew; it returns gradients."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 3, pixels, pixels, generator=draw)
    y = torch.randint(10, (rows,), generator=draw)
    dealt = isinstance(module, sg.CollaborativeLearning) and isinstance(module.rows, sg.Subsets)
    students = module.group.students if isinstance(module, sg.CollaborativeLearning) else 1
    optimiser = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=0.01, momentum=0.9)

    def take() -> dict[str, Tensor]:
        optimiser.zero_grad()
        if isinstance(module, sg.CollaborativeLearning):
            owner = sg.owners(rows, students=students, generator=draw) if dealt else None
            loss = call(x, y, owner=owner).total
        else:
            loss = F.cross_entropy(call(x), y)
        loss.backward()
        optimiser.step()
        return {name: p.grad for name, p in module.named_parameters() if p.grad is not None}

    return take


def measure(name: str, network: Network, args: argparse.Namespace) -> dict[str, Any]:
    """Compile and time one method, or the plain network."""
    torch.compiler.reset()
    torch.manual_seed(0)
    made = network.build() if name == PLAIN else METHODS[name](network)
    written, module = made.train(), copy.deepcopy(made).train()
    backend = Counting(args.backend)
    compiled: Callable[..., Any] = torch.compile(module, backend=backend)  # type: ignore[call-overload]
    steps = [
        stepping(written, written, args.rows, args.pixels),
        stepping(module, compiled, args.rows, args.pixels),
    ]
    first, graphs, difference = [0.0, 0.0], [], 0.0
    for _ in range(_WARM):
        found = []
        for place, step in enumerate(steps):
            start = processor()
            found.append({key: gradient.clone() for key, gradient in step().items()})
            first[place] += processor() - start
        graphs.append(backend.graphs)
        difference = max(difference, apart(*found))
    pairs = [[seconds(step) for step in steps] for _ in range(args.turns)]
    usual = [median(column) for column in zip(*pairs, strict=True)]
    made_first = next((count for count in graphs if count), 0)
    return {
        "seconds": round(first[1] - _WARM * usual[1], 1),
        "graphs": made_first,
        "recompiled": backend.graphs - made_first,
        "milliseconds": [round(1000 * each, 1) for each in usual],
        "over_written": round(median(pair[1] / pair[0] for pair in pairs), 3),
        "largest_difference": difference,
        "pairs": [[round(1000 * each, 1) for each in pair] for pair in pairs],
    }


def apart(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Return the norm of the difference of gradients over that of all; infinite where one side lacks any."""
    if one.keys() != other.keys():
        return float("inf")
    differences = [(one[key] - other[key]).norm() for key in one]
    return float(torch.stack(differences).norm() / torch.stack([g.norm() for g in one.values()]).norm())


def seconds(step: Take) -> float:
    """Time one step."""
    start = processor()
    step()
    return processor() - start


def processor() -> float:
    """Return the processor's seconds of this process and of those that it has started and waited for."""
    others = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + others.ru_utime + others.ru_stime


def warm_up(backend: str) -> None:
    """Compile a small network, for what the first compilation of a process takes alone."""
    small = torch.compile(nn.Linear(4, 4), backend=backend)
    small(torch.ones(4, 4)).relu().sum().backward()


def table(results: dict[str, dict[str, Any]]) -> str:
    """Return the results as a table."""
    plain = results[PLAIN]["seconds"]
    lines = [
        "| | compile, s | over the plain network | graphs | recompiled | as written, ms | compiled, ms | ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, r in results.items():
        before, after = r["milliseconds"]
        lines.append(
            f"| {name} | {r['seconds']:.0f} | {r['seconds'] / plain:.2f} | {r['graphs']} | {r['recompiled']} "
            f"| {before:.0f} | {after:.0f} | {r['over_written']:.2f} |"
        )
    return "\n".join(lines)


def main(words: list[str] | None = None) -> None:
    """Measure what is asked for, and print the table of all that was."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=["baseline", "dml", "cgl"])
    parser.add_argument("--backend", default="inductor")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--pixels", type=int, default=32)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--turns", type=int, default=7)
    args = parser.parse_args(words)
    torch._inductor.config.force_disable_caches = True
    torch._inductor.config.compile_threads = 1
    torch.set_num_threads(1)
    warm_up(args.backend)
    network = full(classes=10, width=args.width, pixels=args.pixels)
    for name in (PLAIN, *args.methods):
        before = load(NAME).get("results", {})
        found = {name: measure(name, network, args)}
        save(NAME, {"environment": environment(), **vars(args), "results": before | found})
    print(table(before | found))


if __name__ == "__main__":
    main()
