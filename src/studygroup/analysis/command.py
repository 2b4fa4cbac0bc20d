"""`studygroup analyse`: analyses of finished runs on the command line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from studygroup.analysis.catalogue import analyses
from studygroup.analysis.results import FOLDER, analyse_with, configured
from studygroup.training.config import add_options
from studygroup.training.folder import RunFolder
from studygroup.training.tables import text

_TRANSFER = "Whether configurations that are good on one data set are good on another."


def add_analyses(parser: ArgumentParser) -> None:
    """Add one command for each analysis to the parser of `studygroup analyse`."""
    commands = parser.add_subcommands()
    for name, analysis in analyses.items():
        said = (type(analysis).__doc__ or "").split("\n")[0]
        own = ArgumentParser(description=said)
        own.add_argument("runs", nargs="+", type=str, help="folders of finished runs")
        own.add_argument(
            "--device", type=str, default="auto", help="auto (CUDA if there is one), cpu, cuda, ..."
        )
        add_options(own, type(analysis))
        commands.add_subcommand(name, own, help=said)
    of_two = ArgumentParser(description=_TRANSFER)
    for place in ("first", "second"):
        of_two.add_argument(place, type=str, help=f"folder of the {place} set's `studygroup compare`")
    commands.add_subcommand("transfer", of_two, help=_TRANSFER)


def analyse_command(options: Mapping[str, Any]) -> str:
    """Make or read an analysis of each run, or one of two comparisons, and return the text to print.

    Options of an analysis, as parsed, are prefixed with its name and a dot.

    Raises:
        ValueError: a run that is not finished or lacks what is asked for, settings that do not fit, or comparisons of
            different configurations.
    """
    name = options["subcommand"]
    if name == "transfer":
        return _transfer(Path(options["transfer.first"]), Path(options["transfer.second"]))
    own = {key.removeprefix(f"{name}."): value for key, value in options.items() if key != "subcommand"}
    runs, device = own.pop("runs"), own.pop("device")
    analysis = configured(name, own)
    said = []
    for folder in (RunFolder(Path(run)) for run in runs):
        found = analyse_with(folder, name, analysis, device=device)
        where = folder.path / FOLDER / f"{name}.json"
        said.append(f"{folder.path}, {analysis.asked(found)}\n{text(analysis.table(found))}\nkept in {where}")
    return "\n\n".join(said)


def _transfer(first: Path, second: Path) -> str:
    """Return the text of a transfer between two comparisons."""
    from studygroup.analysis.transfer import transfer  # seconds of scipy that the others do without

    found = transfer(first, second)
    return "\n".join([text(found.table), *(f"  {said}" for said in found.remarks)])
