"""The cost of a training step of every method relative to the plain network's: time, memory, arithmetic.

    python reproduction/benchmarks/method_cost.py

Each method's step (losses, gradients, SGD) and the plain network's are timed alternately, in pairs; the table gives
the median ratio with a 95 % bootstrap interval. The arithmetic is counted, not estimated: floating-point operations
of convolutions and matrix products in the forward and the backward pass of one step, the method's over the plain
network's. Because lower layers take more time per operation, the shares of trunk and branch in the plain network's
step are timed too: by these, K branches cost trunk + K × branch. Memory is what the forward pass keeps for the
backward pass.
"""

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import studygroup as sg
from environment import environment, save
from steps import first_loss, flops, training_step
from studygroup.analysis.cost import Step, parameters, saved_bytes
from studygroup.models import build
from timing import cell, in_turn, ratios

BRANCH = ["layer3", "fc"]  # the last group of blocks, and what follows it
INNER = ["layer1", "layer2"]
TREE = {"layer2": [0, 0, 1, 1], "layer3": [0, 1, 2, 3], "fc": [0, 1, 2, 3]}
SGD = {"lr": 0.01, "momentum": 0.9}
Make = Callable[[nn.Module, Tensor], sg.CollaborativeLearning]
METHODS: dict[str, Make] = {
    "cl_ilr, 4 branches": lambda net, x: sg.recipes.cl_ilr(net, layers=BRANCH, students=4),
    "one, 4 branches": lambda net, x: sg.recipes.one(net, layers=BRANCH, students=4, example=x),
    "okddip, 3 peers and a leader": lambda net, x: sg.recipes.okddip(net, layers=BRANCH, example=x),
    "pcl, 4 branches": lambda net, x: sg.recipes.pcl(net, layers=BRANCH, students=4, example=x),
    "tree, 4 leaves": lambda net, x: sg.recipes.tree(net, table=TREE),
    "multi_instance, 4 networks": lambda net, x: sg.recipes.multi_instance(net, students=4),
    "dml, 3 networks": lambda net, x: sg.recipes.dml(net, students=3),
    "dml, 3 networks in turn": lambda net, x: sg.recipes.dml(net, students=3, in_turn=True),
    "kdcl, 3 networks": lambda net, x: sg.recipes.kdcl(net, students=3),
    "kdcl, general weights": lambda net, x: sg.recipes.kdcl(
        net, students=3, teacher=sg.teachers.GeneralTeacher
    ),
    "byot, 2 inner classifiers": lambda net, x: sg.recipes.byot(net, inner=INNER, example=x),
    "auxiliary_training, 2 classifiers": lambda net, x: sg.recipes.auxiliary_training(
        net, inner=INNER, example=x
    ),
}


def measure(name: str, args: argparse.Namespace) -> dict[str, Any]:
    torch.manual_seed(0)
    x = torch.randn(args.rows, 3, 32, 32).to(memory_format=torch.channels_last)
    y = torch.randint(10, (args.rows,))
    nets = [build(args.model, classes=10) for _ in range(2)]
    plain = training_step(sg.recipes.baseline(nets[0]), x, y, **SGD)
    own = training_step(METHODS[name](nets[1], x[:2]), x, y, **SGD)
    kept = [saved_bytes(partial(first_loss, step), ignore=step.task) for step in (own, plain)]
    operations = [flops(step) for step in (own, plain)]
    pairs = in_turn([plain.take, own.take], turns=args.pairs)
    return {
        "method": name,
        "arithmetic": operations[0] / operations[1],
        "memory": kept[0] / kept[1],
        "parameters": parameters(own.task) / parameters(plain.task),
        **ratios(pairs, of=1, to=0),
        "pairs": pairs,
    }


def once(loss: Callable[[], Tensor]) -> Iterator[Tensor]:
    """Yield the loss of a step with one update."""
    yield loss()


def shares(args: argparse.Namespace) -> dict[str, Any]:
    """Measure the shares of trunk and branch in the plain network's step, including backward pass and update."""
    torch.manual_seed(0)
    x = torch.randn(args.rows, 3, 32, 32).to(memory_format=torch.channels_last)
    y = torch.randint(10, (args.rows,))
    net = build(args.model, classes=10).to(memory_format=torch.channels_last).train()
    trunk = nn.Sequential(net.conv1, net.bn1, net.relu, net.layer1, net.layer2)
    branch = nn.Sequential(net.layer3, net.avgpool, nn.Flatten(), net.fc)
    with torch.no_grad():
        hidden = trunk(x)
    gradient = torch.randn_like(hidden)

    def whole() -> Tensor:
        return F.cross_entropy(branch(trunk(x)), y)

    def lower() -> Tensor:
        return (trunk(x) * gradient).sum()

    def upper() -> Tensor:
        return F.cross_entropy(branch(hidden.detach().requires_grad_()), y)

    steps = [
        Step(module, torch.optim.SGD(module.parameters(), **SGD), partial(once, loss)).take
        for module, loss in ((net, whole), (trunk, lower), (branch, upper))
    ]
    pairs = in_turn(steps, turns=args.pairs)
    return {"trunk": ratios(pairs, of=1, to=0), "branch": ratios(pairs, of=2, to=0), "pairs": pairs}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--model", default="cifar_resnet32")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    results = [measure(name, args) for name in args.methods]
    own = shares(args)
    save("method_cost", {"environment": environment(), **vars(args), "results": results, "shares": own})
    print("| method | parameters | memory | arithmetic | wall time | process time |")
    print("|---|---|---|---|---|---|")
    for r in results:
        sizes = " | ".join(f"{r[key]:.2f}" for key in ("parameters", "memory", "arithmetic"))
        print(f"| {r['method']} | {sizes} | {cell(r['wall'])} | {cell(r['process'])} |")
    by_time = own["trunk"]["wall"]["median"] + 4 * own["branch"]["wall"]["median"]
    print(
        f"\ntrunk {cell(own['trunk']['wall'])} and branch {cell(own['branch']['wall'])} of the plain wall time:"
    )
    print(f"4 branches by this arithmetic: {by_time:.2f}")


if __name__ == "__main__":
    main()
