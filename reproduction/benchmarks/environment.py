"""The environment that every benchmark records with its numbers."""

import json
import os
import platform
import shlex
import statistics
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from studygroup.files import write_text

RESULTS = Path(__file__).parent / "results"


def environment() -> dict[str, Any]:
    """Return hardware, versions, command and load of the machine."""
    return provenance() | {"load_average": round(os.getloadavg()[0], 1)}


def provenance() -> dict[str, Any]:
    """Return hardware, versions and command of this process, with names for folders of this machine."""
    program, given = Path(sys.argv[0]).name, sys.argv[1:]
    start = ["-m", "reproduction"] if program == "__main__.py" else [program]
    words = [_placed(before, word) for before, word in zip(["", *given], given, strict=False)]
    return {
        "command": shlex.join(["python", *start, *words]),
        "cpu": _processor(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        **{package: version(package) for package in ("studygroup", "lightning", "torchvision")},
    }


def _placed(before: str, argument: str) -> str:
    """Return an argument with `RUN_DIR`, `RESULTS` or `FOLDER/NAME` for a path from the root."""
    name, equals, value = argument.rpartition("=")
    if not Path(value).is_absolute():
        return argument
    option = (name or before).removeprefix("--")
    place = option.upper() if option in ("run_dir", "results") else f"FOLDER/{Path(value).name}"
    return f"{name}{equals}{place}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def save(name: str, content: dict[str, Any]) -> None:
    """Write raw numbers to `results/NAME.json`, whole or not at all."""
    RESULTS.mkdir(exist_ok=True)
    write_text(RESULTS / f"{name}.json", json.dumps(content, indent=1) + "\n")


def load(name: str) -> dict[str, Any]:
    """Read what `save` wrote; an empty mapping if there is nothing."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def spread(values: Sequence[float]) -> str:
    """Return mean ± standard deviation (n)."""
    deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
    return f"{statistics.mean(values):.2f} ± {deviation:.2f} (n={len(values)})"


def available_gib() -> float:
    """Return the memory available without swapping, in GiB; 0 if the system does not say."""
    info = Path("/proc/meminfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((int(line.split()[1]) / 2**20 for line in lines if line.startswith("MemAvail")), 0.0)
