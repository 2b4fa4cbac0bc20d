"""Results of analyses, saved in the folder of their run."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from studygroup.analysis.base import Analysis, Found, Run
from studygroup.analysis.catalogue import analyses
from studygroup.files import read_object, write_text
from studygroup.naming import did_you_mean
from studygroup.untrusted import check_tree

FOLDER = "analyses"
_AGAIN = "remove it and analyse the run again"


def read_analyses(run: Run) -> dict[str, Found]:
    """Return the results of earlier analyses in a run folder, by name, each with its `settings`.

    Args:
        run: the folder.

    Raises:
        ValueError: a file is damaged.
    """
    return {path.stem: _read(path) for path in sorted((run.path / FOLDER).glob("*.json"))}


def analyse(run: Run, name: str, *, device: str = "auto", **settings: Any) -> Found:
    """Analyse a finished run and save the result there, or read a result with these settings.

    Example:
        >>> analyse(RunFolder(Path("runs/mine")), "flatness", sigmas=(0.01, 0.02))["drop"]

    Args:
        run: the run folder. The result goes to `RUN/analyses/NAME.json`, written atomically; a result of other
            settings is replaced.
        name: one of `analyses`.
        device: where to compute, see `Analysis`; it affects only the last bits of the result.
        settings: fields of that analysis that differ from the defaults.

    Raises:
        ValueError: an unknown name or setting, or as the analysis itself.
    """
    return analyse_with(run, name, configured(name, settings), device=device)


def configured(name: str, settings: dict[str, Any]) -> Analysis:
    """Build an analysis from its name, one of `analyses`, and the settings that differ from its defaults.

    Raises:
        ValueError: an unknown name or setting.
    """
    if name not in analyses:
        raise ValueError(
            f"there is no analysis {name!r}{did_you_mean(name, analyses)}; there are {', '.join(analyses)}"
        )
    known = list(asdict(analyses[name]))
    unknown = [setting for setting in settings if setting not in known]
    if unknown:
        raise ValueError(f"{name} has no setting {unknown[0]!r}; it has {', '.join(known)}")
    return replace(analyses[name], **settings)


def analyse_with(run: Run, name: str, analysis: Analysis, *, device: str = "auto") -> Found:
    """Do the same as `analyse`, given the analysis with its settings; `name` is that of the file."""
    check_tree(run.path)
    path = run.path / FOLDER / f"{name}.json"
    settings = json.loads(json.dumps(asdict(analysis)))  # as it is read again: a tuple is a list
    if path.exists():
        before = _read(path)
        if before["settings"] == settings:
            with understood(path):
                analysis.asked(before), analysis.table(before)
            return before
    found = {"settings": settings, **analysis(run, device=device)}
    write_text(path, json.dumps(found, indent=1, allow_nan=False) + "\n")
    return found


@contextmanager
def understood(where: Path | str) -> Iterator[None]:
    """Say that a file is damaged where what was read from it cannot be shown.

    Raises:
        ValueError: it is; names the file and what was looked for.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ValueError(f"{where} is damaged ({said:.200}); {_AGAIN}") from error


def _read(path: Path) -> Found:
    return read_object(path, way_out=_AGAIN, holds=("settings",))
