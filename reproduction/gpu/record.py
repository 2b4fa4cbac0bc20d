"""The result, written whole after every measurement: a run that is killed leaves what it has measured."""

import json
import platform
import sys
from pathlib import Path
from typing import Any

import torch

import studygroup as sg
from studygroup.files import write_text


class Record:
    """One JSON file of parts.

    Args:
        path: where it is written.
        **head: what stands before the parts.
    """

    def __init__(self, path: Path, **head: Any) -> None:
        self.path = path
        self.content: dict[str, Any] = {**head, "finished": False}
        self._write()

    def put(self, phase: str, part: dict[str, Any]) -> None:
        """Take a phase's part in place of what it had so far."""
        self.content[phase] = part
        self._write()

    def finish(self) -> str:
        """Say that all phases have had their time, and return the text of the file."""
        self.content["finished"] = True
        self._write()
        return self._text()

    def _text(self) -> str:
        return json.dumps(self.content, indent=1) + "\n"

    def _write(self) -> None:
        write_text(self.path, self._text())


def environment(device: torch.device) -> dict[str, Any]:
    """Return versions, the device and the command."""
    found = {
        "device": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "studygroup": sg.__version__,
        "command": " ".join(["python -m reproduction.gpu", *sys.argv[1:]]),
    }
    if device.type == "cuda":
        found["device"] = torch.cuda.get_device_name(device)
        found["cudnn"] = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return found
