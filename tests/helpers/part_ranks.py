"""All recipes on several processes that divide each step; what is spawned must be importable."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import studygroup as sg
from reproduction.gpu.methods import METHODS, owners
from reproduction.gpu.network import Network, small
from studygroup.models.resnet import ResNet
from studygroup.parallel import Divide, part, whole_norms

STEPS = 3
ROWS = 10  # of a step with three students or fewer: 4 and 6, or 5 and 5, by two processes


class SameForAllRows(nn.Dropout):
    """Dropout of whole features, so that its masks do not depend on how rows are divided."""

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return (
            hidden * (torch.rand(hidden.shape[1:], dtype=torch.float32) >= self.p) / (1 - self.p)
            if self.training
            else hidden
        )


def network() -> Network:
    wide = small(SameForAllRows)
    build = partial(ResNet, [1, 1, 1], classes=10, width=4)
    return replace(wide, build=build, example=wide.example[..., :8, :8])


def task(name: str) -> sg.CollaborativeLearning:
    torch.manual_seed(0)
    return METHODS[name](network()).double().train()


def batch(of: sg.CollaborativeLearning, step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """One more row of student 0 in the last step, and none of the last student in the second."""
    draw = torch.Generator().manual_seed(step)
    owner = owners(of, 4 * of.group.students)
    if owner is not None:
        students = of.group.students
        owner = torch.cat([owner, torch.zeros(1, dtype=torch.int64)]) if step == STEPS - 1 else owner
        owner = owner[owner < students - 1] if step == 1 else owner
        owner = owner[torch.randperm(len(owner), generator=draw)]
    rows = ROWS - (step == STEPS - 1) if owner is None else len(owner)
    x = torch.randn(rows, 3, 8, 8, generator=draw, dtype=torch.float64)
    return x, torch.randint(10, (rows,), generator=draw), owner


def learn(name: str, *, divide: Divide | None = None) -> tuple[dict[str, torch.Tensor], list[float]]:
    """Return the state after some steps, and the total of each: of the whole steps, or of this process's parts."""
    made = task(name)
    model = made if divide is None else DistributedDataParallel(made, find_unused_parameters=True)
    optimiser = torch.optim.SGD(made.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    totals = []
    for step in range(STEPS):
        x, y, owner = batch(made, step)
        optimiser.zero_grad()
        torch.manual_seed(step)
        if divide is None:
            total = model(x, y, owner=owner, progress=0.5).total
        else:
            by: Divide = "rows" if owner is None else divide
            mine = part(len(x), owner, students=made.group.students, divide=by)
            with whole_norms():
                total = model(
                    x[mine.rows], y[mine.rows], owner=mine.owner, progress=0.5, share=mine.share
                ).total
        total.backward()
        optimiser.step()
        totals.append(float(total.detach()))
    return made.state_dict(), totals


def work(rank: int, folder: str, ranks: int, names: tuple[tuple[str, Divide], ...]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=ranks)
    for name, divide in names:
        state, totals = learn(name, divide=divide)
        everybodys: list[list[float]] = [[] for _ in range(ranks)]
        dist.all_gather_object(everybodys, totals)
        if rank == ranks - 1:
            torch.save((state, everybodys), Path(folder) / f"{name}-{divide}.pt")
    dist.destroy_process_group()


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))


def sharded(rank: int, folder: str, ranks: int) -> None:
    """Train CGL in shards, by students, and beside it in one piece; save both."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=ranks)
    made = []
    for shards in (False, True):
        torch.manual_seed(0)
        cgl = sg.recipes.cgl(plain(), layers=["0", "2"], students=3, modules=2, init=plain).double()
        if shards:
            fully_shard(cgl, mesh=init_device_mesh("cpu", (ranks,)))
        optimiser = torch.optim.SGD(cgl.parameters(), lr=0.05, momentum=0.9)
        for step in range(STEPS):
            draw = torch.Generator().manual_seed(step)
            x = torch.randn(12, 6, generator=draw, dtype=torch.float64)
            y, owner = torch.randint(3, (12,), generator=draw), torch.arange(12) % 3
            mine = part(
                12, owner, students=3, divide="students", ranks=ranks if shards else 1, rank=rank * shards
            )
            optimiser.zero_grad()
            cgl(x[mine.rows], y[mine.rows], owner=mine.owner, share=mine.share).total.backward()
            optimiser.step()
        options = StateDictOptions(full_state_dict=True)
        made.append(get_model_state_dict(cgl, options=options) if shards else cgl.state_dict())
    if rank == 0:
        torch.save((made[1], made[0]), Path(folder) / "sharded.pt")
    dist.barrier()
    dist.destroy_process_group()
