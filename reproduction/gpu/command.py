"""The command line, the shares of the minutes, and the file of results."""

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import studygroup as sg
from reproduction.gpu.budget import Clock
from reproduction.gpu.checks import check
from reproduction.gpu.comparison import compare
from reproduction.gpu.methods import METHODS
from reproduction.gpu.network import full
from reproduction.gpu.pool import Place
from reproduction.gpu.prepare import DATA, prepare
from reproduction.gpu.speed import Setting, measure
from reproduction.gpu.standin import Column, Weights, table
from reproduction.gpu.training import Recipe
from studygroup.files import write_text

PREPARED, RESULT = Path("runs/gpu"), Path("reproduction/results/gpu.json")
FEW = "few.pt"
"""Data file of the stand-in for STL-10."""
_PRECISIONS = {"bfloat16": torch.bfloat16, "float32": torch.float32}
SHARES = {"checks": 0.2, "speed": 0.35}
"""Of the minutes, at most; the comparison has all that is left."""


class Record:
    """A JSON file of a head and parts, written whole after every measurement: a killed run leaves what it has."""

    def __init__(self, path: Path, **head: Any) -> None:
        self.path = path
        self.content: dict[str, Any] = {**head, "finished": False}
        self._write()

    def put(self, phase: str, part: dict[str, Any]) -> None:
        """Replace a phase's part."""
        self.content[phase] = part
        self._write()

    def finish(self) -> str:
        """Mark the result as finished, and return the text of the file."""
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sub-command of the process's own command line, or of another.

    Returns:
        The exit status: 1 where a check failed or had no time.
    """
    args = _parser().parse_args(arguments)
    if args.command == "prepare":
        for path in prepare(
            args.data, args.folder, holdout=args.holdout, seed=args.seed, rows=args.rows, name=args.name
        ):
            print(path)
        return 0
    return standin(args) if args.command == "standin" else run(args)


def standin(args: argparse.Namespace) -> int:
    """Train the columns of Table II on few rows and print the result.

    Returns:
        The exit status: 1 if a training did not end in time.

    Raises:
        ValueError: the device is not there.
    """
    record = Record(args.json, environment=environment(_device(args)), minutes=args.minutes)
    usual = Column(
        "baseline", 0, Weights(), rows=args.rows, width=args.width, precision=_PRECISIONS[args.precision]
    )
    place = Place(args.data, args.device, most_epochs=args.most_epochs)
    part = table(
        place, 60 * args.minutes, lambda part: record.put("standin", part), seeds=args.seeds, usual=usual
    )
    print(record.finish(), end="")
    ended = [found for found in part["table"]["results"].values() if "test" in found]
    return 0 if len(ended) == len(part["table"]["cells"]) else 1


def run(args: argparse.Namespace) -> int:
    """Run all phases one after another and print the result.

    Returns:
        The exit status: 1 where a check failed or had no time.

    Raises:
        ValueError: the device is not there.
    """
    device = _device(args)
    torch.set_num_threads(min(4, torch.get_num_threads()))  # more do not speed up small networks on the CPU
    clock = Clock(60 * args.minutes)
    record = Record(args.json, environment=environment(device), minutes=args.minutes)
    passed = _checks(args, device, record)
    _speed(args, device, record)
    _comparison(args, device, record, clock)
    print(record.finish(), end="")
    return 0 if passed else 1


def _device(args: argparse.Namespace) -> torch.device:
    device = torch.device(args.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "torch finds no CUDA device; run where there is one, or give --device cpu for a dry run"
        )
    return device


def _checks(args: argparse.Namespace, device: torch.device, record: Record) -> bool:
    clock = Clock(60 * args.minutes * SHARES["checks"])
    part = check(args.methods, device, clock, lambda part: record.put("checks", part))
    return not (part["failed"] or part["not_done"])


def _speed(args: argparse.Namespace, device: torch.device, record: Record) -> None:
    network = full(classes=100, width=args.width, pixels=args.pixels)
    measure(
        args.methods,
        network,
        device,
        Setting(args.rows, dtype=_PRECISIONS[args.precision], blocks=args.blocks),
        Clock(60 * args.minutes * SHARES["speed"]),
        lambda part: record.put("speed", part),
        few=args.few,
        compiled=args.compile,
    )


def _comparison(args: argparse.Namespace, device: torch.device, record: Record, clock: Clock) -> None:
    def put(part: dict[str, Any]) -> None:
        record.put("comparison", part)

    if not args.data.exists():
        put({"skipped": f"{args.data} is missing; python -m reproduction.gpu prepare writes it"})
        return
    recipe = Recipe(args.rows, dtype=_PRECISIONS[args.precision], seed=args.seed)
    try:
        compare(
            args.train, args.data, device, recipe, clock, put, width=args.width, most_epochs=args.most_epochs
        )
    except (RuntimeError, ValueError) as error:  # what was measured before is still printed
        put(record.content.get("comparison", {}) | {"error": f"{type(error).__name__}: {error}"[:500]})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m reproduction.gpu", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    first = commands.add_parser("prepare", help="pack data and packages, where they are")
    first.add_argument("--data", type=Path, default=Path("../shared/data/cifar100_5bit"))
    first.add_argument("--folder", type=Path, default=PREPARED)
    first.add_argument("--holdout", type=int, default=5000)
    first.add_argument("--seed", type=int, default=0)
    first.add_argument("--rows", type=int, help="for training, held out ones included; omitted, all")
    first.add_argument("--name", default=DATA, help="of the data file")
    second = commands.add_parser("run", help="check, measure and compare, within a budget of minutes")
    second.add_argument("--minutes", type=float, default=9.0)
    second.add_argument("--device", default="cuda")
    second.add_argument("--data", type=Path, default=PREPARED / DATA)
    second.add_argument("--json", type=Path, default=RESULT)
    second.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    second.add_argument("--train", nargs="+", choices=METHODS, default=["baseline", "cgl"])
    second.add_argument("--rows", type=int, default=512, help="of a step, all students together")
    second.add_argument("--few", type=int, default=64, help="rows of the smaller steps")
    second.add_argument("--most-epochs", type=int, default=200, help="however many would fit")
    second.add_argument("--width", type=int, default=64, help="of ResNet-18")
    second.add_argument(
        "--pixels", type=int, default=32, help="a side, of the pictures that steps are timed on"
    )
    second.add_argument("--blocks", type=int, default=7, help="of timed steps, whose median is told")
    second.add_argument("--precision", choices=_PRECISIONS, default="bfloat16", help="of autocast")
    second.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    second.add_argument("--seed", type=int, default=0)
    third = commands.add_parser("standin", help="Table II of the intra-model paper on few rows, all columns")
    third.add_argument("--minutes", type=float, default=5.0)
    third.add_argument("--device", default="cuda")
    third.add_argument("--data", type=Path, default=PREPARED / FEW)
    third.add_argument("--json", type=Path, default=RESULT.with_name("gpu_standin.json"))
    third.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    third.add_argument("--rows", type=int, default=128, help="of a step")
    third.add_argument("--width", type=int, default=32, help="of ResNet-18")
    third.add_argument("--most-epochs", type=int, default=200, help="however many would fit")
    third.add_argument("--precision", choices=_PRECISIONS, default="bfloat16", help="of autocast")
    return parser
