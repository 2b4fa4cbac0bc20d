"""The command line: signatures are the options, `--config` takes a YAML file, `--print_config` writes one."""

import json
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import SUPPRESS, ArgumentParser, Namespace

from studygroup import training
from studygroup.door import enter
from studygroup.program import how_to_go_on
from studygroup.report import report, run_report
from studygroup.stopping import end_quietly, go_on_by, go_on_with, run_program
from studygroup.training.comparison import table
from studygroup.training.config import add_options
from studygroup.training.describe import describe_run
from studygroup.training.first_run import FIRST_RUN
from studygroup.training.folder import RunFolder
from studygroup.training.mistakes import MistakeError, Parser
from studygroup.training.predict import Prediction
from studygroup.training.scores import TOP5_FROM
from studygroup.training.settings import RESULT_STAYS, Settings
from studygroup.training.trust import reading
from studygroup.training.typed import Typed, read_typed, without_settings
from studygroup.training.writers import card_path
from studygroup.trust import allowing
from studygroup.untrusted import printable


def main(args: Sequence[str] | None = None) -> int:
    """Run `studygroup`.

    Args:
        args: the command line without the program's name; by default the process's own.

    Returns:
        The exit status: 0, or 1 after an error whose message says how to mend it, or 128 and the number of the signal
        that stopped it.
    """
    given = sys.argv[1:] if args is None else list(args)
    return run_program(how_to_go_on(given), lambda: _main(given))


def _main(given: Sequence[str]) -> int:
    enter(given)
    try:
        typed = read_typed(given)
        with allowing(*typed.allowed):
            return _run(typed)
    except MistakeError as mistake:
        print(printable(str(mistake)), file=sys.stderr)
        raise
    except ValueError as error:
        print(f"studygroup: {printable(str(error))}", file=sys.stderr)
        return 1


def _run(typed: Typed) -> int:
    """Parse and carry out the command line; what stands in files may import only what is allowed."""
    chosen = typed.words[0]
    parser = build_parser(chosen)
    try:
        typed.check()
    except ValueError as error:
        raise MistakeError(f"studygroup {chosen}", str(error)) from error
    files = typed.files()
    checked = {path: _dumped(content) for path, content in files.items() if isinstance(content, dict)}
    words = _or_first_run(typed.rewritten(checked))
    overrides: dict[str, Any] = {}
    if chosen == "compare":
        words, overrides = without_settings(words, _SETTINGS)
    guard = reading(", ".join(files), [*files.values()], typed=typed.names()) if files else nullcontext()
    with guard:
        try:
            options = parser.instantiate(_parsed(parser, words, files))
            warnings.showwarning = show_warning
            arguments = dict(options[chosen])
            arguments.pop("config", None)
            if chosen == "compare":
                arguments["overrides"] = overrides
            if chosen == "train":
                _go_on_shortly(arguments, typed.allowed)
            said, status = _COMMANDS[chosen](arguments), 0
            if isinstance(said, tuple):
                said, status = said
            if said:
                print(printable(said))
        except (ValueError, RuntimeError, OSError, MemoryError) as error:
            reason = str(error) or "no memory is left"
            where = typed.place_of(reason, files)
            print(f"studygroup {chosen}: {where}{printable(reason)}", file=sys.stderr)
            return 1
    return status


def _go_on_shortly(arguments: Mapping[str, Any], allowed: Sequence[str]) -> None:
    """Let a training that is stopped say the short command that goes on, once its folder has a configuration."""
    from studygroup.training.run import default_folder

    folder = RunFolder(Path(arguments["run_dir"] or default_folder(_split(dict(arguments))[0])))
    words = [f"--allow={','.join(allowed)}"] if allowed else []
    words += [] if arguments["progress_bar"] else ["--progress_bar=false"]
    short = go_on_with("studygroup", "train", "--resume", str(folder.path), *words)
    go_on_by(lambda: short if folder.config.is_file() else None)


def _parsed(parser: ArgumentParser, words: list[str], files: Mapping[str, Any]) -> Namespace:
    """Parse the command line; where a file alone is wrong, say so.

    Raises:
        MistakeError: the command line is wrong.
        ValueError: a file is wrong; names it and the key.
    """
    try:
        parsed: Namespace = parser.parse_args(words)
    except MistakeError as mistake:
        for path, content in files.items():
            if _mistake_in(parser, [words[0], f"--config={_dumped(content)}"]) == mistake.said:
                raise ValueError(f"{path}: {mistake.said}") from mistake
        raise
    return parsed


def _mistake_in(parser: ArgumentParser, words: list[str]) -> str | None:
    try:
        parser.parse_args(words)
    except MistakeError as mistake:
        return mistake.said
    return None


def _dumped(content: Any) -> str:
    """Return the content of a configuration for the parser, which so reads what was checked."""
    return str(yaml.safe_dump(content, sort_keys=False))


def _or_first_run(given: Sequence[str]) -> list[str]:
    """Return the command line; `train` without settings of its own gets the first run's configuration.

    The seed and options that do not change the result do not count as settings.
    """
    free = {"seed", "run_dir", "resume", "check", "progress_bar", "print_config", *RESULT_STAYS}
    named = {word.removeprefix("--").partition("=")[0] for word in given if word.startswith("--")}
    first = [f"--config={FIRST_RUN}"] if given[:1] == ["train"] and named <= free else []
    return [*given[:1], *first, *given[1:]]


def build_parser(only: str | None = None) -> ArgumentParser:
    """Build the parser.

    Args:
        only: the one command that it parses, so that nothing is imported for the others; by default all.
    """
    parser = Parser(prog="studygroup", description="Train students together, ship one plain network.")
    commands = parser.add_subcommands()
    for name in _FUNCTIONS if only is None else {only} & {*_FUNCTIONS}:
        function = report if name == "report" else getattr(training, name)  # imports what its command needs
        own = Parser(description=(function.__doc__ or "").split("\n\n")[0])
        own.add_argument("--config", action="config", help="a YAML file with any of the options below")
        if name != "report":
            own.add_argument("--allow", **_ALLOW)
        if name in WITH_SETTINGS and name != "compare":
            add_options(own, Settings)
        if name == "train":
            own.add_argument("--resume", **_RESUME)
            own.add_argument(
                "--check",
                action="store_true",
                help="check all, say how long the run will take, and write nothing",
            )
        if name == "reproduce":
            for flag, help in _REPRODUCE.items():
                own.add_argument(flag, action="store_true", help=help)
        if name == "predict":
            own.add_argument("inputs", nargs="+", type=str, help="texts, or paths of image files")
            own.add_argument(
                "--json", action="store_true", help="print one JSON object a line, with probabilities"
            )
        if name == "report":
            own.add_argument("runs", nargs="+", type=str, help="folders of comparisons or runs")
        skip = ("settings", "resume", "deterministic", "tell", "inputs", "runs", "overrides")
        add_options(own, function, skip=skip, positional=name not in ("compare", "tune"))
        commands.add_subcommand(name, own, help=(function.__doc__ or "").split("\n")[0])
    if only in (None, "analyse"):
        from studygroup.analysis.command import add_analyses

        looks = Parser(description="What is said of finished runs, beyond accuracy.")
        looks.add_argument("--allow", **_ALLOW)
        said = "Diversity, flatness, calibration and more of finished runs."
        commands.add_subcommand("analyse", looks, help=said)
        add_analyses(looks)  # only after their parser is registered, as jsonargparse requires
    return parser


_SETTINGS = frozenset(field.name for field in fields(Settings))
WITH_SETTINGS = ("train", "tune", "compare")
"""The commands that take the settings of a run: a comparison lays them over every configuration."""
_ALLOW: dict[str, Any] = {
    "type": str,
    "default": SUPPRESS,
    "metavar": "MODULE",
    "help": "module whose code files may name; . is those of this folder (may be given several times)",
}


_RESUME: dict[str, Any] = {
    "type": bool | str,
    "nargs": "?",
    "const": True,
    "default": False,
    "metavar": "RUN",
    "help": "continue the run in the folder RUN with its own config.yaml; without RUN, what lies in --run_dir",
}


_REPRODUCE = {
    "--resume": "continue a repetition that was stopped, or compare one that is finished",
    "--deterministic": "repeat with deterministic algorithms alone; a run trained without may come out differently",
}


def _train(options: dict[str, Any]) -> str:
    from studygroup.training.check import check, describe_check
    from studygroup.training.processes import is_first
    from studygroup.training.run import default_folder, train

    settings, others = _split(options)
    if others.pop("check"):
        return describe_check(check(settings, run_dir=others["run_dir"], resume=others["resume"]))
    folder = RunFolder(Path(others["run_dir"] or default_folder(settings)))
    if others["resume"] and not folder.config.exists():
        print(f"nothing lies in {folder.path}: the run begins there", file=sys.stderr)
    result = train(settings, **others)
    if not is_first(settings):
        return ""  # the first process says it
    told = describe_run(result.folder, result.summary, finished_before=result.resumed_finished)
    return f"\n{told}\n\nReport with curves: {run_report(result.folder)}"


def _reproduce(options: dict[str, Any]) -> tuple[str, int]:
    from studygroup.training.repeat import Circumstances, describe_circumstances, describe_reproduction

    def tell(found: Circumstances) -> None:
        print(printable(describe_circumstances(found)), flush=True)

    found = training.reproduce(**options, tell=tell)
    return describe_reproduction(found), int(not found.same)


def _evaluate(options: dict[str, Any]) -> str:
    found = training.evaluate(**options)
    same = "as" if found["test"] == found["summary_test"] else f"NOT as ({found['summary_test']:.2%})"
    many = found["classes"] >= TOP5_FROM
    held, test = (f", top-5 {found[k]:.2%}" if many else "" for k in ("holdout_top5", "test_top5"))
    return (
        f"hold-out {found['holdout']:.2%}{held}\n"
        f"test     {found['test']:.2%}{test} ({found['test_rows']} rows), {same} the summary says"
    )


def _export(options: dict[str, Any]) -> str:
    path = training.export(**options)
    pushed = f", and pushed it to {options['push']}" if options["push"] else ""
    return f"wrote {path} and its card {card_path(path)}{pushed}"


def _predict(options: dict[str, Any]) -> str:
    as_json = options.pop("json")
    answers = [*zip(options["inputs"], training.predict(**options), strict=True)]
    if as_json:
        lines = ({"input": given, **asdict(found)} for given, found in answers)
        return "\n".join(json.dumps(line) for line in lines)
    return "\n".join(
        f"{', '.join(f'{printable(n, lines=False)} {p:.1%}' for n, p in _shown(found, options['top']))}  {given}"
        for given, found in answers
    )


def _shown(found: Prediction, top: int | None) -> list[tuple[str, float]]:
    """Return the classes to print: the likeliest alone, unless more are asked for."""
    return [(found.label, found.probability)] if top is None else [*found.probabilities.items()]


def _compare(options: dict[str, Any]) -> str:
    from studygroup.training.compare_configs import overridden

    return (
        "\n"
        + table(training.compare(**options))
        + overridden(options["overrides"])
        + f"\nWritten to {options['run_dir']}/comparison.json and .md"
    )


def _report(options: dict[str, Any]) -> str:
    return f"wrote {report(**options)}"


def _tune(options: dict[str, Any]) -> str:
    from studygroup.training.tuning.results import describe_study

    settings, others = _split(options)
    return "\n" + describe_study(training.tune(settings, **others))


def _split(options: dict[str, Any]) -> tuple[Settings, dict[str, Any]]:
    """Split the options into the settings and all others."""
    settings = Settings(**{key: value for key, value in options.items() if key in _SETTINGS})
    return settings, {key: value for key, value in options.items() if key not in _SETTINGS}


def _analyse(options: dict[str, Any]) -> str:
    from studygroup.analysis.command import analyse_command

    return analyse_command(options)


_FUNCTIONS = ("train", "evaluate", "reproduce", "export", "predict", "compare", "report", "tune")
"""The commands whose arguments are those of the function of their name."""
_COMMANDS: Mapping[str, Callable[[dict[str, Any]], str | tuple[str, int]]] = {
    "train": _train,
    "evaluate": _evaluate,
    "reproduce": _reproduce,
    "export": _export,
    "predict": _predict,
    "compare": _compare,
    "report": _report,
    "tune": _tune,
    "analyse": _analyse,
}
"""What each command does; returns the text to print and, where that is not 0, the exit status."""


def show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """Print a warning on one line, without the source line, which means nothing to a user."""
    print(printable(f"{category.__name__}: {message}"), file=sys.stderr)


if __name__ == "__main__":
    status = main()
    end_quietly()
    sys.exit(status)
