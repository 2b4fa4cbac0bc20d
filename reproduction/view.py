"""A table with its results: numbers, verdicts and remarks, for the terminal and the report."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from reproduction.derived import derived_remarks
from reproduction.lab import Lab
from reproduction.progress import late_change
from reproduction.results import Found, numbers
from reproduction.tables import Cell, Place, Table
from reproduction.verdicts import Judged, Verdict, judge

CONVERGED = 0.5
"""Change of hold-out accuracy over the last fifth of the epochs, in points, that counts as not converged."""
_STATED = {"step": "rows an update", "own": "rows of each student"}


@dataclass(frozen=True)
class View:
    """A table with the results of a folder.

    Attributes:
        table: any.
        lab: whose results are shown.
        found: the finished runs of the table's cells, and the derived numbers.
    """

    table: Table
    lab: Lab
    found: Mapping[Place, Found]

    @cached_property
    def values(self) -> dict[Place, list[float]]:
        """One number per seed of each cell that has runs, in the table's unit, in the order of the seeds."""
        each = {place: numbers(self.table.cells[place].measure, some) for place, some in self.found.items()}
        return {place: some for place, some in each.items() if some}

    @cached_property
    def trained(self) -> dict[Place, list[float]]:
        """The numbers of cells that are trained."""
        return {place: some for place, some in self.values.items() if self.table.cells[place].trained}

    @cached_property
    def claims(self) -> tuple[Judged, ...]:
        """The claims of the table, judged."""
        return judge(self.table, self.values)

    @property
    def tested(self) -> list[Judged]:
        """The claims with a verdict."""
        return [one for one in self.claims if one.verdict is not Verdict.UNTESTED]

    @property
    def untested(self) -> list[Judged]:
        """The claims without a verdict."""
        return [one for one in self.claims if one.verdict is Verdict.UNTESTED]

    @property
    def printed(self) -> bool:
        """Whether any number is published."""
        return any(cell.published for cell in self.table.cells.values())

    def row(self, row: str) -> list[Cell]:
        """Return the cells of a row."""
        return [self.table.cells[row, column] for column in self.table.columns]

    def ours(self, cell: Cell) -> str:
        """Return mean ± sample deviation (n) of the runs, or the derived number; empty if there is none."""
        own = self.values.get(cell.place, ())
        if not own:
            return ""
        mean, std = mean_and_deviation(cell, own)
        return f"{mean}{std and f' ± {std}'}{f' ({len(own)})' if cell.trained else ''}"

    def remarks(self) -> list[str]:
        """Return remarks on the numbers: marks, scale, data, what has not converged, runs without figures."""
        table = self.table
        said = [table.note] if table.note else []
        said += [f"({mark}) {meaning}." for mark, meaning in table.marks.items()]
        own = derived_remarks(table, self.found, finds=self.lab.found)
        if not table.runnable:
            how = f"Counted at scale {self.lab.scale.name}" if self.found and not own else "Published only"
            return [*said, *(own or [f"{how}: nothing is trained for it."])]
        return [
            *said,
            self._scale(),
            *self._data(),
            *self._unconverged(),
            *self._stopped(),
            *own,
        ]

    def _cells_with_runs(self) -> list[Cell]:
        return [cell for cell in self.table.runnable if cell.place in self.found]

    def _data(self) -> list[str]:
        """Name the data of the finished runs."""
        names = {cell.data.name: self.found[cell.place].data for cell in self._cells_with_runs() if cell.data}
        return [f"{name} is `{other}` here." for name, other in names.items()]

    def _unconverged(self) -> list[str]:
        """Name configurations whose hold-out accuracy still changed by `CONVERGED`, or for which this is unknown."""
        changes = {cell.label: late_change(self.found[cell.place]) for cell in self._cells_with_runs()}
        some = [
            f"{label} ({c:+.1f})" for label, c in changes.items() if c is not None and abs(c) >= CONVERGED
        ]
        how = (
            "Not shown to have converged, hold-out accuracy changed by so many points in the last fifth of the "
            "epochs, mean over seeds"
        )
        said = [f"{how}: {', '.join(some)}."] if some else []
        short = [label for label, change in changes.items() if change is None]
        unknown = "Whether it has converged is not known, for want of a curve of five epochs or more"
        return [*said, f"{unknown}: {', '.join(short)}."] if short else said

    def _stopped(self) -> list[str]:
        """Name the runs that ended without figures, so that the remaining seeds are not taken for all."""
        ended = self.lab.read_stopped()
        keys = {self.lab.key(cell): cell.label for cell in self.table.runnable} if ended else {}
        pairs = ((*name.rpartition("-")[::2], words) for name, words in ended.items())
        return [f"{keys[key]}, seed {seed}: no figures, {words}" for key, seed, words in pairs if key in keys]

    def _scale(self) -> str:
        """Describe the scale of the table's networks."""
        cells, scale = self.table.runnable, self.lab.scale
        stated = dict.fromkeys(
            name for cell in cells for name in cell.regime if name != "longer"
        )  # as its label
        nothing: dict[str, Any] = dict.fromkeys(stated)
        alike: dict[str, list[str]] = {}
        for name in dict.fromkeys(
            scale.name_of(cell.settings["model"], cell.data) for cell in cells if cell.settings
        ):
            regime = dataclasses.replace(scale.regimes[name], **nothing)
            alike.setdefault(str(regime), []).append(name)
        said = "; ".join(f"{regime} ({', '.join(some)})" for regime, some in alike.items())
        *most, last = [_STATED.get(name, name) for name in stated] or [""]
        named = f"{', '.join(most)} and {last}" if most else last
        return f"Scale {scale.name}: {said}{f'; {named} as the table says' if last else ''}."


def view_of(table: Table, lab: Lab) -> View:
    """Return a table beside the results of a folder."""
    return View(table, lab, lab.found(table))


def mean_and_deviation(cell: Cell, own: Sequence[float]) -> tuple[str, str]:
    """Return mean and sample deviation of numbers as a cell prints them; no deviation of one."""
    digits = cell.measure.digits
    std = f"{statistics.stdev(own):.{digits}f}" if len(own) > 1 else ""
    return f"{statistics.fmean(own):,.{digits}f}", std


def published(cell: Cell) -> str:
    """Return the number in print, with its mark; empty where there is none."""
    number = cell.published
    if number is None:
        return ""
    digits = cell.measure.digits
    std = "" if number.std is None else f" ± {number.std:.{digits}f}"
    return f"{number.mean:,.{digits}f}{std}{f' ({number.mark})' if number.mark else ''}"


def baseline_of(table: Table, cell: Cell) -> Cell | None:
    """Return the plain network that a cell is compared with: in its row, else in its column, measured alike.

    A baseline has none; a wider one, or one with fewer rows, is compared with it.
    """
    if _plain(cell):
        return None
    row, column = cell.place
    places = [*((row, other) for other in table.columns), *((other, column) for other in table.rows)]
    others = (table.cells[place] for place in places)
    return next((other for other in others if _plain(other) and other.measure == cell.measure), None)


def _plain(cell: Cell) -> bool:
    return (
        not {"baseline", "plain"}.isdisjoint(cell.place) and (cell.settings or {}).get("recipe") == "baseline"
    )
