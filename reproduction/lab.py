"""The folder of runs: their settings and data, and the key that identifies a configuration."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from reproduction.derived import derive
from reproduction.reading import merged, tables
from reproduction.results import Found, read_results, read_stopped
from reproduction.scale import SMALL, Scale
from reproduction.tables import Cell, DataSet, Place, Table
from studygroup.data.places import names_folder
from studygroup.files import read_object, write_text
from studygroup.naming import did_you_mean
from studygroup.training.config import Config, complete, instances
from studygroup.training.folder import RunFolder
from studygroup.training.migrate import ONE_PROCESS
from studygroup.training.settings import RESULT_STAYS, Settings

_EVERYWHERE: Config = {"precision": "32-true"}
"""What a table does not name and no machine may decide."""


@dataclass(frozen=True, kw_only=True)
class Lab:
    """A folder of runs with common changes to their settings.

    Attributes:
        run_dir: holds a folder for each run, and `data.json` with the places of the data.
        scale: of the runs.
        change: settings that override all others, such as a precision.
        data: replacements for the papers' data sets, by their short names: folders, hub names, `digits`.
        results: folder of the results; None is `run_dir/results`.
        further: folders of results that are shown with these.
    """

    run_dir: Path
    scale: Scale = SMALL
    change: Config = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    results: Path | None = None
    further: tuple[Path, ...] = ()

    @property
    def results_dir(self) -> Path:
        """Folder of the results."""
        return self.run_dir / "results" if self.results is None else self.results

    def read_results(self) -> dict[str, Found]:
        """Read the finished runs, by key.

        Raises:
            ValueError: a file is damaged, or two folders have runs of one configuration on different data.
        """
        found = read_results(self.results_dir)
        for folder in self.further:
            for name, other in read_results(folder).items():
                own = found.get(name, other)
                if own.data != other.data:
                    raise ValueError(
                        f"{folder} has runs on {other.data} where another folder has them on {own.data}; make a "
                        "report of each"
                    )
                seeds = {seed: {**own.runs.get(seed, {}), **run} for seed, run in other.runs.items()}
                found[name] = dataclasses.replace(own, runs={**own.runs, **seeds})
        return found

    def read_stopped(self) -> dict[str, str]:
        """Read which runs ended without figures, by name, with the error of each."""
        folders = (self.results_dir, *self.further)
        return {name: words for folder in folders for name, words in read_stopped(folder).items()}

    def config(self, cell: Cell) -> Config:
        """Return the non-default settings of a cell's runs, without the seed and with the name of the data."""
        assert cell.settings is not None
        assert cell.data is not None
        scale = self.scale.changed(**cell.regime)
        return merged(scale.applied(cell.settings, cell.data), self.change) | {"data": cell.data.name}

    def key(self, cell: Cell) -> str:
        """Return the key of a cell's configuration, whatever the place of the data: 16 hexadecimal digits."""
        return config_key(self.config(cell))

    def settings(self, cell: Cell, *, seed: int) -> Settings:
        """Return the settings of a run, with the place of its data.

        Raises:
            ValueError: there is no place for the data, or a setting is unknown.
        """
        assert cell.data is not None
        own = {"data": self.place(cell.data), "seed": seed, "baseline": False}
        return Settings.from_config(_EVERYWHERE | self.config(cell) | own)

    def place(self, data: DataSet) -> str:
        """Return the place that a data set is taken from.

        Raises:
            ValueError: it has no default place, and none was named.
        """
        place = self.data.get(data.short, data.place)
        if place is None:
            raise ValueError(
                f"{data.name} is not on the hub under a name known here; give --data {data.short}=FOLDER"
            )
        return place

    def folder(self, key: str, seed: int) -> RunFolder:
        """Return the folder of a run."""
        return RunFolder(self.run_dir / "runs" / f"{key}-{seed}")

    def found(self, table: Table) -> dict[Place, Found]:
        """Return the runs of a table's cells, and the numbers derived from other runs."""
        known = self.read_results()
        keys = {cell.place: self.key(cell) for cell in table.runnable} if known else {}
        trained = {place: known[key] for place, key in keys.items() if key in known}
        trained = {
            place: some
            for place, all in trained.items()
            if (some := _with_measure(table.cells[place], all)).runs
        }
        return trained | derive(table, trained, config=self.config, finds=self.found)

    def with_saved_places(self) -> "Lab":
        """Return the lab with the places of data that earlier runs in this folder had, and save them.

        Raises:
            ValueError: earlier runs had the same data set from another place.
        """
        path = self.run_dir / "data.json"
        self.run_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(self.run_dir / ".data.lock"):
            lab = self.with_places()
            write_text(path, json.dumps(dict(lab.data), indent=1) + "\n")
        return lab

    def with_places(self) -> "Lab":
        """Return the lab with the places of data that earlier runs in this folder had.

        A place on which nothing was trained yet may be replaced.

        Raises:
            ValueError: earlier runs had the same data set from another place.
        """
        path, begun = self.run_dir / "data.json", any(self.run_dir.glob("runs/*/config.yaml"))
        way_out = "remove it and name the places of the data again, as --data NAME=FOLDER"
        before = read_object(path, way_out=way_out) if path.exists() else {}
        for name, place in self.data.items():
            if before.get(name, place) != place and begun:
                raise ValueError(
                    f"the runs in {self.run_dir} have {name} from {before[name]}, not from {place}; give another "
                    f"--run_dir, or, where the same data have moved, correct {path}"
                )
        return dataclasses.replace(self, data={**before, **self.data})


def _with_measure(cell: Cell, found: Found) -> Found:
    """Return the runs of a configuration that have what the cell's measure needs."""
    analysis = cell.measure.analysis
    runs = {seed: run for seed, run in found.runs.items() if analysis is None or analysis in run}
    return dataclasses.replace(found, runs=runs)


def parse_places(given: Sequence[str]) -> dict[str, str]:
    """Return places of data by short names.

    Args:
        given: such as `cifar100=FOLDER`; existing folders are made absolute.

    Raises:
        ValueError: not of that form, an unknown name, or a folder that does not exist.
    """
    shorts = {cell.data.short for table in tables().values() for cell in table.cells.values() if cell.data}
    found = {}
    for one in given:
        name, equals, place = one.partition("=")
        if not equals or not place or name not in shorts:
            raise ValueError(
                f"--data {one}: write NAME=FOLDER with one of the names {', '.join(sorted(shorts))}"
                f"{did_you_mean(name, shorts)}"
            )
        folder = Path(place).expanduser()
        if not folder.exists() and names_folder(place):
            raise ValueError(f"--data {one}: there is no folder {folder}; check the path")
        found[name] = str(folder.resolve()) if folder.exists() else place
    return found


def config_key(config: Config) -> str:
    """Hash a configuration: all settings, including defaults, except the seed and `RESULT_STAYS`.

    Args:
        config: settings as plain values, model and its options among them.

    Raises:
        ValueError: an unknown name or value.
    """
    whole = (
        ONE_PROCESS | _defaults() | {name: _whole(name, json.dumps(value)) for name, value in config.items()}
    )
    one = {name for name, value in ONE_PROCESS.items() if whole[name] == value}
    stays = {*RESULT_STAYS, "seed", *one}
    # None is left out at every depth, so that a new argument whose default is None changes no key
    telling = {
        name: _without_none(value) for name, value in whole.items() if name not in stays and value is not None
    }
    return hashlib.sha256(json.dumps(telling, sort_keys=True).encode()).hexdigest()[:16]


def _without_none(value: Any) -> Any:
    """Return a setting without the arguments that are None."""
    if not isinstance(value, Mapping):
        return value
    return {name: _without_none(inner) for name, inner in value.items() if inner is not None}


# one by one: tables have many cells of few different settings, and a parser is slow
@functools.cache
def _whole(name: str, value: str) -> Any:
    """Return one setting, from JSON, as a complete configuration has it."""
    # an instance names its classes
    live = instances(Settings, {name: json.loads(value)}, only=name)
    return complete(Settings, live, only=name)[name]


@functools.cache
def _defaults() -> Config:
    """Return the defaults of all settings, for data other than digits, which have their own."""
    return Settings.from_config({"data": "-", **_EVERYWHERE}).config()
