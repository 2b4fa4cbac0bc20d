"""`python -m reproduction`: the papers' tables on the command line."""

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from jsonargparse import ArgumentParser
from jsonargparse.typing import PositiveInt

from reproduction.cluster import on_ray
from reproduction.lab import Lab, config_key, parse_places
from reproduction.plan import measure_prices
from reproduction.progress import Axis
from reproduction.reading import table_called, tables
from reproduction.report import report
from reproduction.runner import Run, is_trained, missing_runs, train_runs, wanted_runs, with_data
from reproduction.scale import SCALES
from reproduction.show import as_markdown, as_text, list_tables
from reproduction.view import view_of
from studygroup.cli import show_warning
from studygroup.stopping import go_on_with, run_program
from studygroup.training.cluster import Place, check_place
from studygroup.training.config import add_options
from studygroup.training.grid import in_processes
from studygroup.training.mistakes import MistakeError, Parser
from studygroup.training.tables import text
from studygroup.untrusted import check_tree, printable

_AT: Mapping[str, Axis | None] = {"end": None, "time": "spent", "updates": "updates"}


def main(args: Sequence[str] | None = None) -> int:
    """Run `python -m reproduction` with the process's own arguments, or with others.

    Returns:
        The exit status: 0; 1 after an error, whose message says how to fix it; or 128 plus the number of the signal
        that stopped it.
    """
    given = sys.argv[1:] if args is None else list(args)
    return run_program(go_on_with("python", "-m", "reproduction", *given), lambda: _main(given))


def _main(given: Sequence[str]) -> int:
    parser = _parser()
    try:
        options = parser.parse_args(list(given))
    except MistakeError as mistake:
        print(printable(str(mistake)), file=sys.stderr)
        raise
    warnings.showwarning = show_warning
    chosen = options.subcommand
    try:
        print(printable(_COMMANDS[chosen](dict(options[chosen]))))
    except (ValueError, RuntimeError, OSError) as error:
        print(printable(f"python -m reproduction {chosen}: {error}"), file=sys.stderr)
        return 1
    return 0


def _parser() -> ArgumentParser:
    parser = Parser(
        prog="python -m reproduction",
        description="Every table and figure of the two papers: published, planned, run, shown.",
    )
    commands = parser.add_subcommands()
    for name, run in _COMMANDS.items():
        own = Parser(description=run.__doc__)
        if name == "report":
            own.add_argument("runs", nargs="+", type=str, help="folders of runs or of their results")
            add_options(own, report, skip=("runs",))
        else:
            if name != "list":
                own.add_argument(
                    "id", type=str, help="of a table or figure, see `python -m reproduction list`"
                )
            _add_options(own, name)
        commands.add_subcommand(name, own, help=(run.__doc__ or "").split("\n")[0])
    return parser


def _add_options(parser: ArgumentParser, name: str) -> None:
    add = parser.add_argument
    add("--run_dir", type=str, default="runs/papers", help="folder of runs and results")
    add("--results", type=str | None, default=None, help="folder of the results; omitted, RUN_DIR/results")
    add(
        "--scale",
        type=Literal["small", "full"],
        default="small",
        help="small fits a CPU, full is the papers' own",
    )
    add("--rows", type=PositiveInt | None, default=None, help="training rows, instead of the scale's")
    add("--epochs", type=PositiveInt | None, default=None, help="epochs, instead of the scale's")
    add(
        "--change",
        type=dict[str, Any],
        default={},
        help='settings that override all others, such as {"precision": "bf16-mixed"}',
    )
    if name == "show":
        add(
            "--at",
            type=Literal["end", "time", "updates"],
            default="end",
            help="adds hold-out accuracies at equal training time or an equal number of updates, the least of a row",
        )
    if name in ("list", "plan", "run"):
        add("--seeds", type=PositiveInt, default=3, help="seeds of each cell, from 0")
    if name in ("plan", "run"):
        add(
            "--only",
            action="append",
            type=str,
            default=[],
            metavar="WORDS",
            help="cells whose labels contain all these words, such as 'CIFAR-100, CGL'; may be repeated",
        )
        add(
            "--data",
            action="append",
            type=str,
            default=[],
            metavar="NAME=FOLDER",
            help="place of a data set, such as cifar100=FOLDER; may be repeated, and is remembered",
        )
    if name == "run":
        add(
            "--jobs",
            type=PositiveInt | None,
            default=None,
            help="number of simultaneous runs: here processes, of one thread each if there are several (omitted, 1); "
            "on a cluster a maximum (omitted, as many as fit)",
        )
        add("--on", type=Place, default="here", help="this machine, or a cluster that sees RUN_DIR")
        add(
            "--cluster",
            type=dict[str, Any],
            default={},
            help='options of Ray, such as {"init": {"address": "auto"}, "task": {"num_gpus": 1}}',
        )


def _lab(options: Mapping[str, Any]) -> Lab:
    results = options["results"]
    for folder in filter(None, (options["run_dir"], results)):
        check_tree(Path(folder))
    return Lab(
        run_dir=Path(options["run_dir"]),
        scale=SCALES[options["scale"]].changed(rows=options["rows"], epochs=options["epochs"]),
        change=dict(options["change"]),
        data=parse_places(options.get("data", ())),
        results=None if results is None else Path(results),
    )


def _to_be_shown(options: Mapping[str, Any]) -> Lab:
    """Return the lab; refuse options that would show nothing by mistake.

    Raises:
        ValueError: the folder of results does not exist, or a changed setting is unknown.
    """
    lab = _lab(options)
    if lab.results is not None and not lab.results.is_dir():
        raise ValueError(
            f"there is no folder {lab.results}; give the one that `python -m reproduction run --results` wrote"
        )
    config_key(lab.change)
    return lab


def _list(options: Mapping[str, Any]) -> str:
    """List every table and figure of the papers, and how much of it has been run."""
    return list_tables(tuple(tables().values()), _to_be_shown(options), seeds=options["seeds"])


def _show(options: Mapping[str, Any]) -> str:
    """Show a table in the paper's layout with published numbers and ours, and the paper's conclusions."""
    return as_text(view_of(table_called(options["id"]), _to_be_shown(options)), equal=_AT[options["at"]])


def _table(options: Mapping[str, Any]) -> str:
    """Print a table as Markdown."""
    return as_markdown(view_of(table_called(options["id"]), _to_be_shown(options))).rstrip()


def _plan(options: Mapping[str, Any]) -> str:
    """Say which runs are missing and how long they will take, from one measured step of each configuration."""
    table, lab = table_called(options["id"]), _lab(options).with_places()
    runs = with_data(wanted_runs(table, lab, seeds=options["seeds"], only=options["only"]), lab)
    left = missing_runs(runs, lab)
    new = [run for run in left if not is_trained(run, lab)]
    found = measure_prices(new, lab)
    rows = [("", "seeds", "updates", "a step", "a run")]
    for key, price in found.items():
        own = [run for run in new if run.key == key]
        seeds, step = ", ".join(str(run.seed) for run in own), f"{1e3 * price.step:.0f} ms"
        rows.append((own[0].cell.label, seeds, f"{price.updates:,}", step, f"{price.hours:.2f} h"))
    priced = [found[run.key].hours for run in new if run.key in found]
    said = f"{_count(left, runs)}, about {sum(priced):.1f} hours one after the other."
    if len(left) > len(new):
        said += f" {len(left) - len(new)} of them are trained and lack an analysis or a curve only."
    if len(new) > len(priced):
        said += f" {len(new) - len(priced)} of them are not counted: their data cannot be opened, see above."
    return f"{text(rows)}\n{said}"


def _run(options: Mapping[str, Any]) -> str:
    """Train the missing runs of a table, all cells with seed 0 first; may be stopped and called again."""
    table, lab = table_called(options["id"]), _lab(options).with_saved_places()
    runs = with_data(wanted_runs(table, lab, seeds=options["seeds"], only=options["only"]), lab)
    left, jobs, cluster = missing_runs(runs, lab), options["jobs"], options["cluster"]
    check_place(options["on"], cluster, jobs)
    if options["on"] == "ray":
        on_ray(table, lab, left, jobs=jobs, cluster=cluster)
    elif (jobs or 1) > 1 and left:
        in_processes(train_runs, table, lab, left, count=jobs)
    else:
        train_runs(table, lab, left)
    left = missing_runs(runs, lab)
    more = "; they went wrong, see above, or are in hand elsewhere: call this again to go on" if left else ""
    return f"{as_text(view_of(table, lab))}\n\n{_count(left, runs)}{more}."


def _report(options: Mapping[str, Any]) -> str:
    """Write one HTML page: published tables and ours, claims, plots, costs, what is missing."""
    return f"wrote {report(**options)}"


def _count(left: tuple[Run, ...], runs: tuple[Run, ...]) -> str:
    return f"{len(left)} of {len(runs)} runs are missing"


_COMMANDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "list": _list,
    "show": _show,
    "plan": _plan,
    "run": _run,
    "table": _table,
    "report": _report,
}
