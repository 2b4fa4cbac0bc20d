"""What every benchmark writes down beside its numbers."""

import json
import os
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from studygroup.files import write_text
from studygroup.papers import results

RESULTS = Path(__file__).parent / "results"


def environment() -> dict[str, Any]:
    """Hardware, versions and the command."""
    found = results.environment()
    return found | {"command": f"python {found['command']}", "load_average": round(os.getloadavg()[0], 1)}


def save(name: str, content: dict[str, Any]) -> None:
    """Keeps raw numbers as `results/NAME.json`, written whole or not at all."""
    RESULTS.mkdir(exist_ok=True)
    write_text(RESULTS / f"{name}.json", json.dumps(content, indent=1) + "\n")


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
    info = Path("/proc/meminfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((int(line.split()[1]) / 2**20 for line in lines if line.startswith("MemAvail")), 0.0)
