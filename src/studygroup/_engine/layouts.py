"""The layouts of a group's passes, kept for later ones."""

from collections.abc import Hashable

import torch
from jaxtyping import Bool
from torch import Tensor

from studygroup._engine.rows import BatchLayout, manner

_MOST = 32

Seen = Bool[Tensor, "students rows"] | BatchLayout | None
"""Which student sees which row: a table on the CPU, all that follows from one, or `None` where all see all."""


class Layouts:
    """The layouts of a group's passes: by their tables, and for compiled passes by what they have in common.

    Attributes:
        together: layouts for compiled passes by the number of rows, where all students see all.
    """

    def __init__(self) -> None:
        self.together: dict[int, BatchLayout] = {}
        self._known: list[BatchLayout] = []  # the newest last
        self._passed: dict[Hashable, BatchLayout] = {}

    def of(self, table: Bool[Tensor, "students rows"], apart: tuple[int, ...]) -> BatchLayout:
        """Return what is kept of a table, or the layout made of it.

        Args:
            table: which student sees which row.
            apart: number of each student's sub-group, where students part before they enter the network.
        """
        known = (one for one in reversed(self._known) if one.sees.shape == table.shape)
        layout = next((one for one in known if torch.equal(one.sees, table)), None)
        if layout is None:
            layout = BatchLayout(table, apart=apart)
        else:
            self._known.remove(layout)
        self._known.append(layout)
        del self._known[:-_MOST]
        return layout

    def passed(self, sort: Hashable, layout: BatchLayout) -> None:
        """Note an uncompiled pass: what it asks its layout for, later ones of its sort and manner will ask for."""
        _put(self._passed, (sort, layout.manner), layout)

    def prepared(
        self,
        sort: Hashable,
        table: Bool[Tensor, "students rows"],
        apart: tuple[int, ...],
        device: torch.device,
    ) -> BatchLayout | None:
        """Return a layout with all that a compiled pass will ask it for; `None` where that is not known.

        Args:
            sort: of the pass.
            table: as for `of`, and so is the next.
            apart: see there.
            device: of the rows.
        """
        like = self._passed.get((sort, manner(table)))
        if like is None:
            return None
        together = like.manner == "all"
        layout = self.together.get(table.shape[1]) if together else None
        if layout is None or layout.device != device:
            layout = like if torch.equal(like.sees, table) else BatchLayout(table, apart=apart)
            if not layout.prepare(like, device):
                return None
            if together:
                _put(self.together, table.shape[1], layout)
        return layout


def _put(
    kept: dict[Hashable, BatchLayout] | dict[int, BatchLayout], key: Hashable, layout: BatchLayout
) -> None:
    kept[key] = layout  # type: ignore[index]
    if len(kept) > _MOST:
        del kept[next(iter(kept))]  # type: ignore[arg-type]
