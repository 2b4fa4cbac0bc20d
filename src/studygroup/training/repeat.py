"""Repeat a run from its folder, and say whether it came out the same."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from studygroup.data import Data
from studygroup.training.checkpoints import newest_readable
from studygroup.training.computing import NOT_DETERMINISTIC, cpu_threads
from studygroup.training.config import changed_keys
from studygroup.training.folder import RunFolder
from studygroup.training.load_run import Run
from studygroup.training.migrate import upgraded
from studygroup.training.provenance import Provenance, changes, differences, provenance_now, read_provenance
from studygroup.training.run import train_in
from studygroup.training.same_results import differing_results, read_tensors
from studygroup.training.settings import RESULT_STAYS, Settings
from studygroup.untrusted import check_tree

_AGAIN = "-again"
_MOST_THREADS = 1024


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """Under what a run is repeated.

    Attributes:
        differing: what differs from when it was trained, in words.
        unknown: what the run does not record.
        compared: what was compared.
        undetermined: what comes out differently every time on this device, in words; empty where nothing does.
    """

    differing: tuple[str, ...]
    unknown: tuple[str, ...]
    compared: tuple[str, ...]
    undetermined: str = ""


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """A run and its repetition.

    Attributes:
        there: the run.
        again: the repetition.
        circumstances: under what it was repeated.
        differing: how the results differ, in words; empty where all are the same, bit by bit.
        tensors: number of tensors that the run ships.
    """

    there: RunFolder
    again: RunFolder
    circumstances: Circumstances
    differing: tuple[str, ...]
    tensors: int

    @property
    def same(self) -> bool:
        """Whether it came out the same."""
        return not self.differing


def reproduce(
    run: str | Path,
    *,
    run_dir: str | Path | None = None,
    resume: bool = False,
    deterministic: bool = False,
    progress_bar: bool = True,
    tell: Callable[[Circumstances], None] | None = None,
) -> Reproduction:
    """Repeat a run from its folder, and say whether it came out the same.

    It is trained again in a new folder, on as many CPU threads. Figures of every epoch, scores, routes and shipped
    weights are compared bit by bit, those of the plain network, too. Nothing is written into the run folder.

    Example:
        >>> found = reproduce("runs/mine")
        >>> found.same, found.circumstances.differing

    Args:
        run: the run folder.
        run_dir: folder of the repetition; by default the run folder's name and `-again`.
        resume: whether to continue a repetition that was stopped; a finished one is compared as it is.
        deterministic: whether to repeat it with deterministic algorithms alone, on CUDA, too; a run that was not
            trained with them may come out differently.
        progress_bar: whether to draw a progress bar.
        tell: called before training, with what is known of the circumstances.

    Raises:
        NotAllowedError: its configuration names code that nobody allowed, or it holds pipes or links.
        FolderTakenError: the folder of the repetition is not empty and `resume` was not given.
        ValueError: the folder holds no finished run, its files or data are damaged, or the repetition would be in it.
    """
    there = RunFolder(Path(run))
    check_tree(there.path)
    settings, known = Run(there, there.read_summary()).settings, read_provenance(there)
    differing_results(there, there)  # what cannot be compared is refused before anything is trained
    if there.baseline.summary.exists():
        differing_results(there.baseline, there.baseline)
    again = RunFolder(Path(run_dir) if run_dir is not None else _beside(there.path))
    _check_apart(there.path, again.path)
    if deterministic:
        settings = dataclasses.replace(settings, deterministic=True)
    seen: list[Circumstances] = []

    def look(data: Data) -> None:
        seen.append(circumstances(there, known, settings, data))
        if tell is not None:
            tell(seen[0])

    with cpu_threads(_threads(known)):  # for settings that leave their number to torch
        train_in(again, settings, resume=resume, progress_bar=progress_bar, look=look)
        if not seen:  # it was finished before
            look(settings.load_data())
    differing = differing_results(there, again)
    if there.baseline.summary.exists():
        differing += [f"plain network, {one}" for one in differing_results(there.baseline, again.baseline)]
    return Reproduction(
        there=there,
        again=again,
        circumstances=seen[0],
        differing=tuple(differing),
        tensors=len(read_tensors(there.weights)),
    )


def _beside(run: Path) -> Path:
    path = run if run.name not in ("", "..") else run.resolve()
    return path.with_name(path.name + _AGAIN)


def _check_apart(run: Path, again: Path) -> None:
    """Refuse to write into the run folder."""
    inner, outer = again.resolve(), run.resolve()
    if inner == outer or outer in inner.parents:
        raise ValueError(
            f"{again} is the folder of the run that is repeated, or lies in it; give another --run_dir"
        )


def _threads(known: Provenance | None) -> int | None:
    """Return the number of CPU threads that began a run; None where it is not known."""
    said = "" if known is None else known.processes[0].computing.get("CPU threads", "")
    return int(said) if said.isdecimal() and 1 <= int(said) <= _MOST_THREADS else None


def circumstances(
    there: RunFolder, known: Provenance | None, settings: Settings, data: Data
) -> Circumstances:
    """Compare what a run records of its making with how it would be made now.

    Raises:
        ValueError: its summary is damaged.
    """
    now = provenance_now(settings, data)
    here = now.processes[0]
    differing = _config_changes(there, settings)
    cuda = here.computing["device"] == "cuda" and here.computing["deterministic"] == "false"
    undetermined = NOT_DETERMINISTIC if cuda else ""
    if known is None:
        said = there.read_summary().versions
        found = [
            f"{name}: {said[name]} there, {here.versions[name]} now" for name in changes(said, here.versions)
        ]
        versions = tuple(name for name in said if name in here.versions)
        return Circumstances(
            differing=(*differing, *found),
            unknown=("data", "device and threads", "code", "git"),
            compared=versions,
            undetermined=undetermined,
        )
    differing += [f"data: other {name}" for name in changes(known.data, now.data)]
    lacking = () if known.data.keys() >= now.data.keys() else ("data as they are read now",)
    differing += differences(known.processes[0], here)
    if len(known.processes) > 1:
        differing.append(
            f"the run went on {len(known.processes) - 1} times under other circumstances than it began"
        )
    return Circumstances(
        differing=tuple(dict.fromkeys(differing)),
        unknown=(*lacking, *(() if known.processes[0].git else ("git",))),
        compared=("data", *known.processes[0].versions, "device and threads", "code"),
        undetermined=undetermined,
    )


def _config_changes(there: RunFolder, settings: Settings) -> list[str]:
    """Return what differs between the configuration that trained, which checkpoints hold, and that of now."""
    found = newest_readable(there.checkpoints)
    if found is None:
        return []
    trained = upgraded(dict(found.callbacks.LastTwo.config))
    return [f"configuration: {one}" for one in changed_keys(trained, settings.config(), ignore=RESULT_STAYS)]


def describe_circumstances(found: Circumstances) -> str:
    """Return in lines under what a run is repeated."""
    lines = (
        ["what differs from when it was trained:", *(f"  {one}" for one in found.differing)]
        if found.differing
        else [f"nothing differs of what it records: {', '.join(found.compared)}"]
    )
    if found.unknown:
        lines.append(f"not recorded: {', '.join(found.unknown)}")
    if found.undetermined:
        lines.append(f"not deterministic on CUDA: {found.undetermined}; --deterministic switches it off")
    return "\n".join(lines)


def describe_reproduction(found: Reproduction) -> str:
    """Return the verdict in lines."""
    if found.same:
        beside = " and those of the plain network beside it" if found.there.baseline.summary.exists() else ""
        epochs = found.there.read_summary().run.epochs
        return (
            f"the same: {found.again.path} has all figures of {epochs} epochs, all scores and all {found.tensors} "
            f"tensors of {found.there.path}{beside}, bit by bit"
        )
    lines = [
        f"different: {found.again.path} is not as {found.there.path}",
        *(f"  {one}" for one in found.differing),
    ]
    under = found.circumstances
    if not under.differing:
        lines.append("although nothing differs of what it records of its making")
    if under.undetermined:
        lines.append(
            "on CUDA this is to be expected: train with --deterministic true, and repeat that run, to compare bits"
        )
    return "\n".join(lines)
