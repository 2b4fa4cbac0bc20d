"""One of two processes under DistributedDataParallel; what is spawned must be importable."""

import torch
import torch.distributed as dist
from torch import nn

import studygroup as sg
from studygroup.objectives import Imitation, Supervised
from studygroup.teachers import RandomSubgroup

OWNERS = ([0, 0, 0, 0], [1, 1, 2, 2])  # of the rows on each rank: whole modules idle on either


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(inplace=True), nn.Linear(8, 3))


def task() -> sg.CollaborativeLearning:
    torch.manual_seed(0)
    group = sg.StudyGroup(build(), sg.routes.tree({"0": [0, 1, 2], "2": [0, 0, 1]}), init=build)
    return sg.CollaborativeLearning(group, [Supervised(), Imitation(RandomSubgroup(0.5))])


def rows(rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(rank)
    return torch.randn(4, 6, generator=draw), torch.randint(3, (4,), generator=draw)


def work(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    parallel = nn.parallel.DistributedDataParallel(task())
    consults = []
    for _ in range(3):  # a parameter that had left the graph would stop the second step
        parallel.zero_grad()
        consults.append(parallel.module.teachers[0].consults(parallel.module.step))
        parallel(*rows(rank), owner=OWNERS[rank]).total.backward()
    gradients = {name: p.grad for name, p in parallel.module.named_parameters()}
    torch.save((gradients, consults), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


NOBODYS = ([0, 0, 0, 0], [0, 0, 1, 1])  # student 2 has rows on no rank


def separate() -> sg.CollaborativeLearning:
    torch.manual_seed(0)
    return sg.recipes.dml(build(), students=3, init=build)


def absent(rank: int, folder: str) -> None:
    """Save how far each student of separate networks moves in a step in which one has rows on no rank."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    moved = {}
    for finds in (False, True):
        parallel = nn.parallel.DistributedDataParallel(separate(), find_unused_parameters=finds)
        task = parallel.module
        optimiser = torch.optim.SGD(task.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
        for owner in ([0, 1, 2, 2], NOBODYS[rank]):
            before = [p.detach().clone() for p in task.parameters()]
            optimiser.zero_grad()
            parallel(*rows(rank), owner=owner).total.backward()
            optimiser.step()
        steps = {
            id(p): float((p - old).abs().max()) for p, old in zip(task.parameters(), before, strict=True)
        }
        moved[finds] = [max(steps[id(p)] for p in task.group.parameters_of(k)) for k in range(3)]
    torch.save(moved, f"{folder}/{rank}.pt")
    dist.destroy_process_group()
