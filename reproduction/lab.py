"""Where the papers' runs lie, and at which scale and on which data they are made."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock

from reproduction import stopped
from reproduction.derived import derived
from reproduction.keys import key, run_name, settings_only
from reproduction.reading import merged, tables
from reproduction.results import Found, known
from reproduction.scale import SMALL, Scale
from reproduction.tables import Cell, DataSet, Place, Table
from studygroup.data.places import names_folder
from studygroup.files import read_object, write_text
from studygroup.naming import near
from studygroup.training.config import Config
from studygroup.training.folder import RunFolder
from studygroup.training.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Lab:
    """A folder of runs, made in one way.

    Attributes:
        run_dir: holds a folder for each run, and `data.json`, where the data are.
        scale: of the runs.
        change: settings laid over all others, such as a precision.
        data: what takes the place of the papers' data sets, by their short names: folders, hub names, `digits`.
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
    def kept(self) -> Path:
        """The folder of the results."""
        return self.run_dir / "results" if self.results is None else self.results

    def known(self) -> dict[str, Found]:
        """The finished runs, by key.

        Raises:
            ValueError: a file is damaged, or two folders have runs of one configuration on different data.
        """
        found = known(self.kept)
        for folder in self.further:
            for name, other in known(folder).items():
                own = found.get(name, other)
                if own.data != other.data:
                    raise ValueError(
                        f"{folder} has runs on {other.data} where another folder has them on {own.data}; make a "
                        "report of each"
                    )
                seeds = {seed: {**own.runs.get(seed, {}), **run} for seed, run in other.runs.items()}
                found[name] = dataclasses.replace(own, runs={**own.runs, **seeds})
        return found

    def ended(self) -> dict[str, str]:
        """The runs that ended without figures, by name, with what was said of each."""
        folders = (self.kept, *self.further)
        return {name: words for folder in folders for name, words in stopped.known(folder).items()}

    def config(self, cell: Cell) -> Config:
        """The settings of a cell's runs as far as they are no defaults, without seed and with the data by their name.

        Args:
            cell: one that is run.
        """
        assert cell.settings is not None
        assert cell.data is not None
        scale = self.scale.changed(**cell.regime)
        return merged(scale.applied(cell.settings, cell.data), self.change) | {"data": cell.data.name}

    def key(self, cell: Cell) -> str:
        """What tells the cell's configuration from all others, wherever the data lie: 16 hexadecimal digits.

        Args:
            cell: one that is run.
        """
        return key(self.config(cell))

    def settings(self, cell: Cell, *, seed: int) -> Settings:
        """A run, with the place of its data.

        Args:
            cell: one that is run.
            seed: of the run.

        Raises:
            ValueError: there is no place for the data, or a setting is unknown.
        """
        assert cell.data is not None
        own = {"data": self.place(cell.data), "seed": seed, "baseline": False}
        return Settings.from_config(self.config(cell) | own)

    def place(self, data: DataSet) -> str:
        """Where a data set is taken from.

        Raises:
            ValueError: it has no place of its own, and none was named.
        """
        place = self.data.get(data.short, data.place)
        if place is None:
            raise ValueError(
                f"{data.name} is not on the hub under a name known here; give --data {data.short}=FOLDER"
            )
        return place

    def folder(self, key: str, seed: int) -> RunFolder:
        """The folder of a run."""
        return RunFolder(self.run_dir / "runs" / run_name(key, seed))

    def found(self, table: Table) -> dict[Place, Found]:
        """What is known of a table's cells: finished runs, and numbers that follow without runs of their own."""
        known = self.known()
        # a key takes its time: it is made where settings alone, as far as they are no defaults, fit those of some run
        likely = {settings_only(found.settings) for found in known.values()}
        cells = (cell for cell in table.runnable if settings_only(self.config(cell)) in likely)
        keys = {cell.place: self.key(cell) for cell in cells}
        trained = {place: known[key] for place, key in keys.items() if key in known}
        trained = {
            place: some for place, all in trained.items() if (some := _shown(table.cells[place], all)).runs
        }
        return trained | derived(table, trained, config=self.config, finds=self.found)

    def remembering(self) -> "Lab":
        """The same with the places of data that earlier runs in this folder had; those of this one are written down.

        Raises:
            ValueError: earlier runs had the same data set from another place.
        """
        path = self.run_dir / "data.json"
        self.run_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(self.run_dir / ".data.lock"):
            lab = self.recalling()
            write_text(path, json.dumps(dict(lab.data), indent=1) + "\n")
        return lab

    def recalling(self) -> "Lab":
        """The same with the places of data that earlier runs in this folder had.

        A place that nothing was trained on yet gives way.

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


def _shown(cell: Cell, found: Found) -> Found:
    """The runs of a cell's configuration that have what its measure needs."""
    analysis = cell.measure.analysis
    runs = {seed: run for seed, run in found.runs.items() if analysis is None or analysis in run}
    return dataclasses.replace(found, runs=runs)


def places(given: Sequence[str]) -> dict[str, str]:
    """Places of data by short names.

    Args:
        given: as `cifar100=FOLDER`; folders that are there are made absolute.

    Raises:
        ValueError: not of that form, an unknown name, or a folder that is not there.
    """
    shorts = {cell.data.short for table in tables().values() for cell in table.cells.values() if cell.data}
    found = {}
    for one in given:
        name, equals, place = one.partition("=")
        if not equals or not place or name not in shorts:
            raise ValueError(
                f"--data {one}: write NAME=FOLDER with one of the names {', '.join(sorted(shorts))}"
                f"{near(name, shorts)}"
            )
        folder = Path(place).expanduser()
        if not folder.exists() and names_folder(place):
            raise ValueError(f"--data {one}: there is no folder {folder}; check the path")
        found[name] = str(folder.resolve()) if folder.exists() else place
    return found
