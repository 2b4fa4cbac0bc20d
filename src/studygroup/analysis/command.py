"""`studygroup analyse`: what is said of finished runs, on the command line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from studygroup.analysis.catalogue import analyses
from studygroup.analysis.keeping import FOLDER, changed, made
from studygroup.training.config import add_options
from studygroup.training.folder import RunFolder
from studygroup.training.report.tables import text


def add_analyses(parser: ArgumentParser) -> None:
    """Adds one command for each analysis to the parser of `studygroup analyse`.

    Args:
        parser: that is a sub-command itself already.
    """
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


def analyse_command(options: Mapping[str, Any]) -> str:
    """Makes or reads an analysis of each run and gives what is printed.

    Args:
        options: as the parser gives them, those of the analysis behind its name and a point.

    Raises:
        ValueError: a run that is not finished or lacks what is asked for, or settings that do not fit.
    """
    name = options["subcommand"]
    own = {key.removeprefix(f"{name}."): value for key, value in options.items() if key != "subcommand"}
    runs, device = own.pop("runs"), own.pop("device")
    analysis = changed(name, own)
    said = []
    for folder in (RunFolder(Path(run)) for run in runs):
        found = made(folder, name, analysis, device=device)
        where = folder.path / FOLDER / f"{name}.json"
        said.append(f"{folder.path}, {analysis.asked(found)}\n{text(analysis.table(found))}\nkept in {where}")
    return "\n\n".join(said)
