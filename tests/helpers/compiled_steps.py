"""Steps of compiled tasks beside those of the tasks as written, in a process of its own.

The checks of types in tests cannot be compiled, so tests run this file: it prints, by recipe, the graphs that were
made in each step, the names of their inputs that are tables of the host, the largest difference of losses, gradients
and buffers from those of the task as written, and the graph breaks that are not asked for.
"""

import copy
import json
import sys
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters

import studygroup as sg

ROWS = (12, 12, 12, 12, 8)
"""Of the steps; the last batch is short."""
EXAMPLE = torch.zeros(2, 6, dtype=torch.float64)


def net() -> nn.Module:
    """Return a network of two blocks and a classifier, in double precision."""
    blocks = (nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.ReLU()) for _ in range(2))
    return nn.Sequential(*blocks, nn.Linear(6, 3)).double()


def dropping() -> nn.Module:
    """Return a network that draws nothing, for views by dropout of probability 0."""
    return nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Dropout(1e-12), nn.Linear(6, 3)).double()


TASKS: dict[str, Callable[[], sg.CollaborativeLearning]] = {
    "baseline": lambda: sg.recipes.baseline(net()),
    "byot": lambda: sg.recipes.byot(net(), inner=["0", "1"], example=EXAMPLE),
    "cgl": lambda: sg.recipes.cgl(net(), layers=["0", "1"], students=4, init=net),
    "cgl, nobody imitates": lambda: sg.recipes.cgl(
        net(), layers=["0", "1"], students=4, probability=0.0, init=net
    ),
    "cgl, two passes": lambda: sg.recipes.cgl(net(), layers=["0", "1"], students=4, peers="train", init=net),
    "cl_ilr": lambda: sg.recipes.cl_ilr(net(), layers=["1", "2"], init=net),
    "dml": lambda: sg.recipes.dml(net(), init=net),
    "dml of peers": lambda: sg.recipes.dml(sg.Peers([net(), net()])),
    "okddip": lambda: sg.recipes.okddip(net(), layers=["1", "2"], example=EXAMPLE, init=net),
    "intra_out": lambda: sg.recipes.intra(dropping(), example=EXAMPLE, out=1.0),
    "self_distillation": lambda: sg.recipes.self_distillation(net()),
}


OF_NETWORKS: dict[str, Callable[[Callable[[], nn.Module], str], sg.CollaborativeLearning]] = {
    "dml": lambda build, inside: sg.recipes.dml(build(), init=build),
    "cgl": lambda build, inside: sg.recipes.cgl(
        build(), layers=[f"{inside}0", f"{inside}1"], students=4, init=build
    ),
    "byot": lambda build, inside: sg.recipes.byot(
        build(), inner=[f"{inside}0", f"{inside}1"], example=EXAMPLE
    ),
}
"""Tasks of a network that may have been compiled before: how it is built, and what stands before its names then."""


class Counting:
    """A backend that runs graphs as they are, and keeps those with a call in them."""

    def __init__(self) -> None:
        self.graphs: list[torch.fx.GraphModule] = []

    def __call__(self, graph: torch.fx.GraphModule, example: list[Any]) -> Callable[..., Any]:
        """Keep a graph."""
        if any(node.op.startswith("call") for node in graph.graph.nodes):
            self.graphs.append(graph)
        return graph.forward


def take(task: sg.CollaborativeLearning, call: Callable[..., Any], step: int) -> list[Tensor | None]:
    """Take a step on owners and at a progress of its own; return its loss, gradients and buffers."""
    draw = torch.Generator().manual_seed(step)
    x = torch.randn(ROWS[step], 6, generator=draw, dtype=torch.float64)
    y = torch.randint(3, (ROWS[step],), generator=draw)
    subsets = isinstance(task.rows, sg.Subsets)
    owner = sg.owners(ROWS[step], students=task.group.students, generator=draw) if subsets else None
    task.zero_grad()
    total = call(x, y, owner=owner, progress=step / 20).total
    total.backward()
    gradients = [p.grad for p in task.parameters()]
    with torch.no_grad():
        for parameter in task.parameters():
            if parameter.grad is not None:
                parameter -= 0.1 * parameter.grad
    return [total.detach(), *(None if g is None else g.clone() for g in gradients), *task.buffers()]


def apart(one: Tensor | None, other: Tensor | None) -> float:
    """Return the largest difference; infinite where one is missing."""
    if one is None or other is None:
        return 0.0 if one is other else float("inf")
    return float((one.double() - other.double()).abs().max())


def is_number(value: Any) -> bool:
    """Tell whether an input is a single floating-point number, for which torch traces everything a second time."""
    return isinstance(value, Tensor) and value.ndim == 0 and value.is_floating_point()


def compare(name: str, how: str) -> dict[str, Any]:
    """Compare a task compiled in one way with the task as written."""
    torch.compiler.reset()
    counters.clear()
    torch.manual_seed(0)
    backend = Counting()
    if how == "the network":
        written = OF_NETWORKS[name](net, "").train()
        # a function, as copies of a backend would count for themselves
        same: Any = lambda *of: backend(*of)
        task = OF_NETWORKS[name](lambda: torch.compile(net(), backend=same), "_orig_mod.").train()
        keys = [key for key in task.state_dict() if not key.endswith("_extra_state")]
        kept = [value for key, value in written.state_dict().items() if not key.endswith("_extra_state")]
        task.load_state_dict(dict(zip(keys, kept, strict=True)), strict=False)
        call: Callable[..., Any] = task
    else:
        written = TASKS[name]().train()
        task = copy.deepcopy(written)
    if how == "inside a function":
        call = torch.compile(lambda *args, **more: task(*args, **more), backend=backend)
    elif how == "in place":
        task.compile(backend=backend)
        call = task
    elif how == "from outside":
        call = torch.compile(task, backend=backend)  # type: ignore[assignment]
    made, worst = [], 0.0
    for step in range(len(ROWS)):
        before = len(backend.graphs)
        expected, found = take(written, written, step), take(task, call, step)
        made.append(len(backend.graphs) - before)
        worst = max(worst, *(apart(*pair) for pair in zip(expected, found, strict=True)))
    nodes = [node for g in backend.graphs for node in g.graph.nodes if node.op == "placeholder"]
    inputs = [node.name for node in nodes]
    return {
        "graphs": made,
        "of the host": [name for name in inputs if "sample" in name or "students_" in name],
        "numbers": [node.name for node in nodes if is_number(node.meta.get("example_value"))],
        "inputs": len(inputs),
        "difference": worst,
        "breaks": [reason[:200] for reason in counters["graph_break"] if "compiler.disable" not in reason],
        "steps": [written.step, task.step],
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps({name: compare(name, sys.argv[1]) for name in sys.argv[2:]}))
