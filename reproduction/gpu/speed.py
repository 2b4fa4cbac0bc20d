"""Time and memory of a training step: every method, the plain network, a bare loop of torch."""

import gc
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

import studygroup as sg
from reproduction.gpu.budget import Clock, work_through
from reproduction.gpu.methods import METHODS, owners
from reproduction.gpu.network import Network
from reproduction.gpu.step import Losses, autocast, batch, of_network, of_task, updates, wait
from studygroup.models.resnet import BasicBlock

LOOP, PLAIN, CGL, STATIC = "loop", "baseline", "cgl", "cgl_rows_shared"
_WARM = 3
_BLOCK_SECONDS = 0.2  # long enough that the clock's resolution and one wait do not matter
_MOST_STEPS = 50
LIMIT = 0.15
"""Of the relative difference of gradients in half precision, as in the checks."""
_COMPILED = {"task": "compiled", "graphs": "CUDA graphs", "blocks": "compiled blocks"}


@dataclass(frozen=True)
class Setting:
    """The setting in which steps are taken.

    Attributes:
        rows: of a step, all students together.
        dtype: of autocast; `torch.float32` for none.
        compiled: what `torch.compile` makes graphs of: `"blocks"`, each residual block by itself; `"task"`, the whole
            step's losses; `"graphs"`, these, replayed as CUDA graphs; nothing where empty.
        blocks: number of timed blocks of steps; the median is taken over them.
    """

    rows: int
    dtype: torch.dtype = torch.bfloat16
    compiled: str = ""
    blocks: int = 7


def measure(
    methods: Iterable[str],
    network: Network,
    device: torch.device,
    setting: Setting,
    clock: Clock,
    write: Callable[[dict[str, Any]], None],
    *,
    few: int = 64,
    compiled: bool = True,
) -> dict[str, Any]:
    """Time one method after another; also the loop, the plain network and CGL in further settings.

    Args:
        methods: names of `METHODS`.
        network: the network to train.
        device: where.
        setting: of all methods.
        clock: of this phase.
        write: called with the part so far.
        few: number of rows of the smaller steps.
        compiled: whether to measure `torch.compile`, last, because it takes longest.

    Returns:
        The part of the result: `results` by name and setting, each with its ratios to loop and plain network of the
        same setting.
    """
    trio = [LOOP, PLAIN, CGL]
    plan = [(name, setting) for name in dict.fromkeys([*trio, *methods])]
    plan[len(trio) : len(trio)] = [
        (name, other)
        for other in (replace(setting, rows=few), replace(setting, dtype=torch.float32))
        for name in trio
        if other != setting
    ]
    items = {_name(name, how, setting): partial(_item, name, network, device, how) for name, how in plan}
    items["baseline again"] = partial(_item, PLAIN, network, device, setting)  # how far the device drifts
    for way in _COMPILED if compiled else ():
        how = replace(setting, compiled=way)
        # where who consults whom decides how many rows there are, nothing can be replayed
        names = [LOOP, PLAIN, STATIC] if way == "graphs" else trio
        items |= {_name(name, how, setting): partial(_item, name, network, device, how) for name in names}
    return work_through(items, clock, lambda part: write(_compared(part)))


def _name(name: str, how: Setting, usual: Setting) -> str:
    """Name a measurement by its method and its unusual settings."""
    words = [name]
    words += [f"{how.rows} rows"] if how.rows != usual.rows else []
    words += ["float32"] if how.dtype != usual.dtype else []
    words += [_COMPILED[how.compiled]] if how.compiled else []
    return ", ".join(words)


def _item(name: str, network: Network, device: torch.device, how: Setting) -> dict[str, Any]:
    gc.collect()  # earlier tasks, whose memory would be counted
    torch.manual_seed(0)
    x, y = batch(how.rows, pixels=network.example.shape[-1], classes=network.classes, device=device)
    module, losses = _losses(name, network, device, x, y)
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(parameters, lr=0.01, momentum=0.9)
    step = partial(updates, losses, optimiser, device, how.dtype)
    difference = {}
    if how.compiled:
        difference = checked(
            module, losses, partial(_compile, module, how.compiled, device), device, how.dtype
        )
    found = timed(step, device, blocks=how.blocks)
    return {
        "rows": how.rows,
        "precision": str(how.dtype).removeprefix("torch."),
        "compiled": how.compiled,
        **difference,
        "trainable": sum(p.numel() for p in parameters),
        **found,
        "images_per_second": round(1000 * how.rows / found["milliseconds"], 1),
    }


def _losses(
    name: str, network: Network, device: torch.device, x: Tensor, y: Tensor
) -> tuple[nn.Module, Losses]:
    if name == LOOP:
        net = network.build().to(device).to(memory_format=torch.channels_last).train()
        return net, of_network(net, x, y)
    task = METHODS[name](network).to(device).to(memory_format=torch.channels_last).train()
    return task, of_task(task, x, y, owner=owners(task, len(x)))


def checked(
    module: nn.Module,
    losses: Losses,
    compile_it: Callable[[], None],
    device: torch.device,
    dtype: torch.dtype,
) -> dict[str, Any]:
    """Compile a module in place, and compare the gradients of a step with those from before.

    Returns:
        `gradient_difference`, relative to all, with its `limit`, and whether it is within it; `compile_seconds` of
        the first compiled steps. Under dropout, gradients are of other masks.
    """

    def gradients() -> list[Tensor]:
        module.zero_grad()
        if isinstance(module, sg.CollaborativeLearning):
            module.step = 0  # the same draws
        with autocast(device, dtype):
            total = sum(losses(), torch.zeros((), device=device))
        torch.autograd.backward(total)
        return [p.grad.double().cpu() for p in module.parameters() if p.grad is not None]

    expected = gradients()
    start = time.perf_counter()
    compile_it()
    for _ in range(_WARM + 1):  # the first runs as written, the third is recorded, the fourth replayed
        if device.type == "cuda":
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        found = gradients()
    took = time.perf_counter() - start
    size = torch.stack([each.norm() for each in expected]).norm()
    apart = torch.stack([(a - b).norm() for a, b in zip(found, expected, strict=True)]).norm() / size
    return {
        "gradient_difference": float(apart),
        "limit": LIMIT,
        "passed": bool(apart <= LIMIT),
        "compile_seconds": round(took, 1),
    }


def _compile(module: nn.Module, how: str, device: torch.device) -> None:
    torch.compiler.reset()
    if how == "blocks":
        _compile_blocks(module)
    elif device.type == "cuda":
        module.compile(mode="reduce-overhead" if how == "graphs" else "default")
    else:
        module.compile(backend="eager")  # a dry run


def _compile_blocks(module: nn.Module) -> None:
    torch._dynamo.config.recompile_limit = 64  # blocks share code, not shapes
    for block in module.modules():
        if isinstance(block, BasicBlock):
            block.compile()


def timed(step: Callable[[], None], device: torch.device, *, blocks: int) -> dict[str, Any]:
    """Time a step in blocks, waiting for the device before and after each.

    Args:
        step: the step to repeat; it is warmed up first.
        device: what to wait for.
        blocks: number of blocks.

    Returns:
        `milliseconds` of a step (median over blocks), `spread` (least and most), `blocks`, `steps` of each,
        `warm_up_seconds`, and `peak_mib`, the peak memory allocated by torch on CUDA, elsewhere `None`.
    """
    start = time.perf_counter()
    for _ in range(_WARM):
        step()
    wait(device)
    warm = time.perf_counter() - start
    once = _seconds(step, 1, device)
    steps = max(1, min(_MOST_STEPS, round(_BLOCK_SECONDS / max(once, 1e-6))))
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    found = [1000 * _seconds(step, steps, device) / steps for _ in range(blocks)]
    peak = round(torch.cuda.max_memory_allocated(device) / 2**20, 1) if device.type == "cuda" else None
    return {
        "milliseconds": round(median(found), 4),
        "spread": [round(min(found), 4), round(max(found), 4)],
        "blocks": blocks,
        "steps": steps,
        "warm_up_seconds": round(warm, 2),
        "peak_mib": peak,
    }


def _seconds(step: Callable[[], None], times: int, device: torch.device) -> float:
    wait(device)
    start = time.perf_counter()
    for _ in range(times):
        step()
    wait(device)
    return time.perf_counter() - start


def _compared(part: dict[str, Any]) -> dict[str, Any]:
    """Add to each result its time relative to loop and plain network, and its memory relative to the latter."""
    results = {name: dict(result) for name, result in part["results"].items()}
    by_setting = {
        (name.split(",")[0], r["rows"], r["precision"], r["compiled"]): r
        for name, r in results.items()
        if "error" not in r
    }
    for result in results.values():
        if "error" in result:
            continue
        setting = (result["rows"], result["precision"], result["compiled"])
        for word, other in (("over_loop", LOOP), ("over_plain", PLAIN)):
            base = by_setting.get((other, *setting))
            if base:
                result[word] = round(result["milliseconds"] / base["milliseconds"], 3)
                if word == "over_plain" and result["peak_mib"] and base["peak_mib"]:
                    result["memory_over_plain"] = round(result["peak_mib"] / base["peak_mib"], 3)
    return part | {"results": results}
