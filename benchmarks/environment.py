"""What every benchmark writes down beside its numbers."""

import json
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"


def environment() -> dict[str, Any]:
    """Hardware, versions and the command."""
    model = next(
        (
            line.split(":")[1].strip()
            for line in _lines(Path("/proc/cpuinfo"))
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return {
        "command": " ".join(["python", *(Path(a).name if Path(a).is_absolute() else a for a in sys.argv)]),
        "cpu": model,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_average": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def save(name: str, content: dict[str, Any]) -> None:
    """Keeps raw numbers as `results/NAME.json`, atomically."""
    RESULTS.mkdir(exist_ok=True)
    part = RESULTS / f"{name}.json.part"
    part.write_text(json.dumps(content, indent=1) + "\n")
    part.replace(RESULTS / f"{name}.json")


def load(name: str) -> dict[str, Any]:
    """What `save` kept, or nothing."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def spread(values: Sequence[float]) -> str:
    """Mean ± standard deviation (n)."""
    deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
    return f"{statistics.mean(values):.2f} ± {deviation:.2f} (n={len(values)})"


def available_gib() -> float:
    """Memory that a process can have without swapping, in GiB; nothing where the system does not tell."""
    return next(
        (
            int(line.split()[1]) / 2**20
            for line in _lines(Path("/proc/meminfo"))
            if line.startswith("MemAvail")
        ),
        0.0,
    )


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
