"""Losses and gradients of every method, kept in a file and compared with it: what a change was to leave alone.

    python tests/snapshot.py check          # against tests/snapshots/losses.json.gz
    python tests/snapshot.py write          # after a change that is meant

Only names that users see are touched: recipes, tasks with their `steps`, `group` and `shipped`, and what `Losses`
holds. Parameters go by their place in `task.group.parameters()` and their shape; those beside the group by their
shape alone. All weights are drawn anew after the task was made, so that the order of draws in its making, which
`made` tells, is one thing and the mathematics another. On the first batch every gradient is told apart; later ones
follow from it by momentum and stand together.

A tensor stands as its product with a fixed random vector, and its norm. It deviates by the difference of the
products over the norm, or over a share of the norm of all gradients of the step where that is larger: gradients
that are zero but for rounding are no evidence. On another processor or torch, sums are rounded otherwise: what is
ill-conditioned (the solver of `kdcl_linear`, batch normalisation of few rows in float32) then differs by more than
the tolerance, so compare with a file written there at the commit before.
"""

import argparse
import gzip
import json
import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import studygroup as sg
from helpers.networks import CLASSES, Case
from helpers.snapshot_tasks import entries

FILE = Path(__file__).parent / "snapshots" / "losses.json.gz"
ROWS, UPDATES = 16, 3
TOLERANCE = {"float64": 1e-12, "float32": 1e-6}
FLOOR = {"float64": 1e-3, "float32": 1.0}
"""Share of the norm of all gradients below which a parameter's own norm is not asked."""

Record = dict[str, Any]


@dataclass
class Report:
    """How two snapshots compare.

    Attributes:
        equal: values that are equal bit for bit.
        near: deviations within the tolerance.
        differ: deviation, infinite where one has no such value, and name of every other one.
        worst: the largest deviation within the tolerance, and its name.
    """

    equal: int = 0
    near: list[float] = field(default_factory=list)
    differ: list[tuple[float, str]] = field(default_factory=list)
    worst: tuple[float, str] = (0.0, "nothing")

    def add(self, name: str, deviation: float, tolerance: float) -> None:
        if deviation == 0:
            self.equal += 1
        elif deviation <= tolerance:
            self.near.append(deviation)
            self.worst = max(self.worst, (deviation, name))
        else:
            self.differ.append((deviation, name))

    def __str__(self) -> str:
        lines = [f"differs by {deviation:.2e}: {name}" for deviation, name in self.differ[:40]]
        lines += ["..."] * (len(self.differ) > 40)
        if self.differ:
            worst, name = max(self.differ)
            lines.append(f"worst: {worst:.2e}, {name}")
        elif self.near:
            lines.append(f"worst: {self.worst[0]:.2e}, {self.worst[1]}")
        bound = 10.0 ** math.ceil(math.log10(max(self.near))) if self.near else min(TOLERANCE.values())
        lines.append(
            f"{self.equal:,} values equal bit for bit, {len(self.near):,} within {bound:.0e}, "
            f"{len(self.differ):,} differ"
        )
        return "\n".join(lines)


def take(name: str) -> Record:
    """What one task says and learns in a few updates, see `entries` for its name."""
    make, case, precision = entries()[name]
    dtype = getattr(torch, precision)
    torch.manual_seed(0)
    task = make(case).train().to(dtype)
    made = [_state(task.group.export(k)) for k in range(task.group.students)]
    _redraw(task)
    optimiser = torch.optim.SGD([p for p in task.parameters() if p.requires_grad], lr=1e-3, momentum=0.9)
    updates = []
    for step in range(UPDATES):
        torch.manual_seed(step)
        owner = torch.arange(ROWS) % task.group.students if isinstance(task.rows, sg.Subsets) else None
        x, y = _batch(case, step, dtype)
        for losses in task.steps(x, y, owner=owner, progress=(1.0, 0.1, 0.5)[step]):
            optimiser.zero_grad(set_to_none=True)
            losses.total.backward()
            updates.append(_losses(losses) | _gradients(task, apart=step == 0))
            optimiser.step()
    task.eval()
    x, y = _batch(case, UPDATES, dtype)
    with torch.no_grad():
        unseen, shipped = task(x, y, progress=1.0), task.shipped(x)
    students = [task.shipped.export(k) for k in range(task.group.students)]
    return {
        "precision": precision,
        "shapes": [_shape(p) for p in task.group.parameters()],
        "keys": [f"{key} {_shape(value)}" for key, value in students[0].state_dict().items()],
        "made": made,
        "updates": updates,
        "unseen": _losses(unseen),
        "shipped": _digest(shipped.logits),
        "students": [_state(student) for student in students],
    }


def compare(old: Record, new: Record, name: str, report: Report) -> None:
    """Adds the comparison of one task's two records to a report."""
    tolerance, floor = TOLERANCE[new["precision"]], FLOOR[new["precision"]]
    for what in ("precision", "shapes", "keys"):
        report.add(f"{name} / {what}", 0.0 if old[what] == new[what] else math.inf, tolerance)
    first, second = dict(_values(old, floor)), dict(_values(new, floor))
    for path in [*first, *(path for path in second if path not in first)]:
        single = path.startswith("made")  # networks are made in float32
        deviation = _deviation(first.get(path), second.get(path))
        report.add(f"{name} / {path}", deviation, TOLERANCE["float32"] if single else tolerance)


def check(file: Path = FILE, names: Iterable[str] | None = None) -> Report:
    """Takes a snapshot and compares it with a file.

    Args:
        file: that `write` made.
        names: of the tasks to take; omitted, all there are and all that the file has.
    """
    known: dict[str, Record] = load(file)["tasks"]
    report = Report()
    there = entries()
    for name in names or dict.fromkeys([*known, *there]):
        if name in known and name in there:
            compare(known[name], take(name), name, report)
        else:
            report.add(name, math.inf, 0.0)
    return report


def write(file: Path = FILE) -> None:
    """Keeps a snapshot of all tasks."""
    content = {"environment": environment(), "tasks": {name: take(name) for name in entries()}}
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress(text.encode(), mtime=0))


def load(file: Path = FILE) -> dict[str, Any]:
    """What `write` kept."""
    content: dict[str, Any] = json.loads(gzip.decompress(file.read_bytes()))
    return content


def environment() -> dict[str, str]:
    """What rounding depends on."""
    return {"torch": torch.__version__, "instructions": torch.backends.cpu.get_cpu_capability()}


@torch.no_grad()
def _redraw(task: nn.Module) -> None:
    """Weights that depend on place and shape alone."""
    group = list(task.group.parameters())
    seeds = [(p, f"{place} of the group") for place, p in enumerate(group)]
    known, count = {id(p) for p in group}, dict[str, int]()
    for p in task.parameters():
        if id(p) not in known and p.requires_grad:
            count[_shape(p)] = count.get(_shape(p), 0) + 1
            seeds.append((p, f"{count[_shape(p)]} beside it"))
    for p, seed in seeds:
        draw = torch.Generator().manual_seed(sum(31**i * ord(c) for i, c in enumerate(seed)) % 2**31)
        even = 2 * torch.rand(p.shape, generator=draw, dtype=torch.float64) - 1
        if p.ndim > 1:
            p.copy_(even * math.sqrt(3 * len(p) / p.numel()))
        else:  # scales of norms stay near 1
            p.copy_(0.2 * even + float(bool((p == 1).all())))


def _batch(case: Case, step: int, dtype: torch.dtype) -> tuple[Tensor | dict[str, Tensor], Tensor]:
    draw = torch.Generator().manual_seed(100 + step)
    whole = case.inputs(ROWS * (UPDATES + 1))
    rows = slice(ROWS * step, ROWS * (step + 1))
    y = torch.randint(CLASSES, (ROWS,), generator=draw)
    if isinstance(whole, dict):
        return {key: value[rows] for key, value in whole.items()}, y
    shape = (ROWS, *whole.shape[1:])
    # uniform draws are the same on every processor, normal ones are not
    return (math.sqrt(12) * (torch.rand(shape, generator=draw, dtype=torch.float64) - 0.5)).to(dtype), y


def _losses(losses: sg.Losses) -> Record:
    return {
        "total": float(losses.total.detach()),
        "supervised": losses.supervised.tolist(),
        "imitation": losses.imitation.tolist(),
        "auxiliary": {name: float(value.detach()) for name, value in sorted(losses.auxiliary.items())},
        "logits": _digest(losses.logits),
    }


def _gradients(task: nn.Module, *, apart: bool) -> Record:
    group = list(task.group.parameters())
    known = {id(p) for p in group}
    beside = [p for p in task.parameters() if id(p) not in known and p.requires_grad]
    of_group = [None if p.grad is None else _digest(p.grad) for p in group]
    others = sorted([_shape(p), *_digest(p.grad)] for p in beside if p.grad is not None)
    if apart:
        return {"group": of_group, "beside": others}
    place = _probe(1 << 12).tolist()
    products = [weight * found[0] for weight, found in zip(place, of_group, strict=False) if found]
    return {
        "learning": [len(products), len(others)],
        "together": [
            [math.fsum(products), _few(math.hypot(*(found[1] for found in of_group if found)))],
            [math.fsum(value for _, value, _ in others), _few(math.hypot(*(norm for *_, norm in others)))],
        ],
    }


def _state(network: nn.Module) -> list[float]:
    return _digest(torch.cat([value.flatten().double() for value in network.state_dict().values()]))


def _digest(tensor: Tensor) -> list[float]:
    """Product with a random vector, and the norm to a few digits."""
    flat = tensor.detach().flatten().double()
    return [float((flat * _probe(len(flat))).sum()), _few(float(flat.norm()))]


def _few(number: float) -> float:
    return float(f"{number:.2g}")


@cache
def _probe(numbers: int) -> Tensor:
    draw = torch.Generator().manual_seed(numbers)
    return math.sqrt(12) * (torch.rand(numbers, generator=draw, dtype=torch.float64) - 0.5)


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape))


def _values(record: Record, floor: float) -> Iterator[tuple[str, tuple[float, float] | None]]:
    """Every number of a record by name, with what its deviation is measured by; nothing for no gradient."""
    for k, (value, norm) in enumerate(record["made"]):
        yield f"made / student {k}", (value, norm)
    for k, (value, norm) in enumerate(record["students"]):
        yield f"shipped / student {k}", (value, norm)
    yield "shipped / logits", tuple(record["shipped"])
    passes = {f"update {i}": update for i, update in enumerate(record["updates"])} | {
        "unseen": record["unseen"]
    }
    for where, one in passes.items():
        least = floor * abs(one["total"])
        numbers = [("total", one["total"])]
        numbers += [
            (f"{kind} {k}", v) for kind in ("supervised", "imitation") for k, v in enumerate(one[kind])
        ]
        numbers += list(one["auxiliary"].items())
        yield from ((f"{where} / {kind}", (value, max(abs(value), least))) for kind, value in numbers)
        yield f"{where} / logits", tuple(one["logits"])
        group, beside = one.get("group", []), one.get("beside", [])
        least = floor * math.hypot(*(d[1] for d in group if d), *(d[2] for d in beside))
        for i, found in enumerate(group):
            yield (
                f"{where} / gradient {i}, {record['shapes'][i]}",
                None if found is None else (found[0], max(found[1], least)),
            )
        for i, (shape, value, norm) in enumerate(beside):
            yield f"{where} / gradient beside {i}, {shape}", (value, max(norm, least))
        for whose, count, (value, norm) in zip(
            ("of the group", "beside it"), one.get("learning", ()), one.get("together", ()), strict=False
        ):
            yield f"{where} / how many gradients {whose}", (count, 1.0)
            yield f"{where} / gradients {whose}", (value, norm)


def _deviation(old: tuple[float, float] | None, new: tuple[float, float] | None) -> float:
    if old is None or new is None:
        return 0.0 if old is new else math.inf
    difference = abs(old[0] - new[0])
    return difference / max(old[1], 1e-300) if math.isfinite(difference) else math.inf


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("do", choices=("check", "write"))
    parser.add_argument("file", type=Path, nargs="?", default=FILE)
    args = parser.parse_args()
    torch.set_num_threads(1)  # sums depend on how many there are
    if args.do == "write":
        write(args.file)
        return
    written = load(args.file)["environment"]
    if written != environment():
        print(
            f"written under {written}, now {environment()}: rounding may differ, most in float32 and `linear`"
        )
    report = check(args.file)
    print(report)
    sys.exit(bool(report.differ))


if __name__ == "__main__":
    main()
