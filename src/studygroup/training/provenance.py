"""What a run was made from and by, besides its configuration: data, versions, code, machine; kept in its folder."""

import dataclasses
import hashlib
import importlib.util
import json
import platform
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from studygroup.data import Data
from studygroup.files import checked, read_json, write_text
from studygroup.training.computing import facts
from studygroup.training.config import ConfigurationChangedError
from studygroup.training.dotted import texts
from studygroup.training.folder import RunFolder
from studygroup.training.git_state import GitState, git_state
from studygroup.training.plain import as_kind
from studygroup.training.settings import Settings

_PACKAGES = {
    "torch": "torch",
    "numpy": "numpy",
    "lightning": "lightning",
    "torchvision": "torchvision",
    "timm": "timm",
    "transformers": "transformers",
    "sentencepiece": "sentencepiece",
    "datasets": "datasets",
    "pyarrow": "pyarrow",
    "pillow": "PIL",
    "scikit-learn": "sklearn",
}
"""Packages that a result may depend on, and the module by which one is known to be in use."""
_WAY_OUT = "remove the file; then nothing is known of how the run was made"
_FILES = 5000  # of one package that are read


@dataclass(frozen=True, kw_only=True)
class Process:
    """What trained a run, or went on with it.

    Attributes:
        since: date and time.
        versions: of Python, this library and the packages in use, by name.
        computing: device, threads, precision and what else decides the last bits, by name.
        code: checksums of the Python files of this library, and of the modules that the configuration names, by name.
        git: state of the working directory; None where it has none.
    """

    since: str
    versions: Mapping[str, str]
    computing: Mapping[str, str]
    code: Mapping[str, str]
    git: GitState | None = None


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a run comes from; `provenance.json` in its folder.

    Attributes:
        data: checksums of what was read, see `studygroup.data.Data.fingerprint`.
        processes: the one that began the run, and those that went on with it elsewhere or otherwise.
    """

    data: Mapping[str, str]
    processes: tuple[Process, ...] = field(default=())


def provenance_now(settings: Settings, data: Data, *, tests: bool = True) -> Provenance:
    """Return the provenance of a run that this process would train now.

    Args:
        settings: the settings of the run.
        data: as opened by `settings.load_data`.
        tests: whether the test rows count; they are not read otherwise.
    """
    process = Process(
        since=time.strftime("%Y-%m-%d %H:%M:%S %z"),
        versions=versions(),
        computing=facts(settings.device, settings.precision),
        code=_code(settings),
        git=git_state(Path.cwd()),
    )
    sums = data.fingerprint if tests else data.training_fingerprint
    return Provenance(data=dict(sums), processes=(process,))


def read_provenance(folder: RunFolder) -> Provenance | None:
    """Read where a run comes from; None for a run that does not say.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        content = read_json(folder.provenance, way_out=_WAY_OUT)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        found: Provenance = as_kind(Provenance, checked(folder.provenance, content, way_out=_WAY_OUT))
    except ValueError as error:
        raise ValueError(f"{folder.provenance} {error}; {_WAY_OUT}") from error
    if not found.processes:
        raise ValueError(f"{folder.provenance} names no process; {_WAY_OUT}")
    return found


def note_provenance(
    folder: RunFolder, settings: Settings, data: Data, *, goes_on: bool, tests: bool = True
) -> None:
    """Write what `provenance_now` says; where a run goes on, add this process if it is not like the one before.

    Raises:
        ConfigurationChangedError: the run goes on, and was begun with other data.
    """
    now = provenance_now(settings, data, tests=tests)
    before = read_provenance(folder) if goes_on else None
    if before is not None:
        other = changes(before.data, now.data)
        if other:
            raise ConfigurationChangedError(
                f"the run in {folder.path} was begun with other data ({', '.join(other)} differ); put these back to "
                "continue it, or give another --run_dir for a new run"
            )
        if not differences(before.processes[-1], now.processes[0]):
            return
        now = Provenance(data=before.data, processes=(*before.processes, *now.processes))
    write_text(folder.provenance, json.dumps(dataclasses.asdict(now), indent=1) + "\n")


def changes(there: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the names, among those in both, whose values differ."""
    return [name for name in there if name in now and there[name] != now[name]]


def differences(there: Process, now: Process) -> list[str]:
    """Return in words how two processes differ; what only one of them says does not count."""
    found = [
        f"{name}: {some[name]} there, {other[name]} now"
        for some, other in ((there.versions, now.versions), (there.computing, now.computing))
        for name in changes(some, other)
    ]
    found += [f"code: the files of {name} are others" for name in changes(there.code, now.code)]
    if there.git and now.git and there.git != now.git:
        found.append(f"git: {_words(there.git)} there, {_words(now.git)} now")
    return found


def _words(git: GitState) -> str:
    """Return commit and changes, shortened."""
    return git.commit[:_SHORT] + (f" with changes ({git.changes[:_SHORT]})" if git.changes else "")


_SHORT = 10


def versions() -> dict[str, str]:
    """Return the versions of Python, this library and the packages in use that a result may depend on."""
    used = {name: _version(name) for name, module in _PACKAGES.items() if module in sys.modules}
    return {"studygroup": _version("studygroup"), "python": platform.python_version(), **used}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # imported from a folder
        return "not installed"


def _code(settings: Settings) -> dict[str, str]:
    """Return the checksums of this library's files, and of the modules that the settings name."""
    paths = (text for text in texts(settings.config()) if "." in text)
    named = {path.partition(".")[0] for path in paths} & sys.modules.keys()
    found = {name: _sum_of_module(name) for name in sorted(named | {"studygroup"})}
    return {name: total for name, total in found.items() if total is not None}


def _sum_of_module(name: str) -> str | None:
    """Return the sha256 sum of the Python files of a top-level module; None for one that is installed or built in."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return None
    origin = Path(spec.origin)
    if name != "studygroup" and ("site-packages" in origin.parts or name in sys.stdlib_module_names):
        return None  # its version says it
    files = [origin] if origin.name != "__init__.py" else sorted(origin.parent.rglob("*.py"))[:_FILES]
    total = hashlib.sha256()
    for path in files:
        total.update(f"{path.relative_to(origin.parent).as_posix()} ".encode() + path.read_bytes() + b"\0")
    return total.hexdigest()
