"""The route table: which module each student takes at each layer."""

import json
import random as python_random
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product, zip_longest
from pathlib import Path
from typing import Any

from studygroup.checks import check_flag, check_kind, check_names, check_whole, shown
from studygroup.route_drawing import draw_routes

Layer = str | tuple[str, ...]
"""A layer's name, or several names that share one choice of module."""

_TRIES = 10_000


class EqualPathsWarning(UserWarning):
    """A warning that there are more students than paths through the modules, so that some are the same network."""


@dataclass(frozen=True)
class Routes:
    """A route table over named layers of a network: frozen, hashable, kept as JSON.

    Attributes:
        layers: names of the routed layers as `model.named_modules()` has them, `""` for the whole model.
        table: shape (layers, students); `table[i][k]` is the module that student k takes at layer i.
        modules: shape (layers,); number of parallel modules of each layer. By default the largest number in
            the layer's row plus one.
        leader: the student that leads the group, where the method has one (OKDDip).

    Raises:
        ValueError: no layers or students, rows of unequal length, a module that is no whole number or that its layer
            does not have, a layer named twice, a layer inside another named layer, or a leader that is not a student.
    """

    layers: tuple[str, ...]
    table: tuple[tuple[int, ...], ...]
    modules: tuple[int, ...] = ()
    leader: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(check_names("layers", self.layers)))
        for name in self.layers:
            check_kind("the name of a layer", name, str, "a text, as model.named_modules() has it")
        rows = enumerate(check_names("table", self.table))
        object.__setattr__(self, "table", tuple(_modules(number, row) for number, row in rows))
        counts = tuple(
            check_whole("the number of modules of a layer", count, least=1)
            for count in check_names("modules", self.modules)
        )
        modules = counts or tuple(max(row, default=0) + 1 for row in self.table)
        object.__setattr__(self, "modules", modules)
        if self.leader is not None:
            object.__setattr__(self, "leader", check_whole("leader", self.leader))
        _check_shape(self)
        _check_names(self.layers)

    @property
    def students(self) -> int:
        """Number of students."""
        return len(self.table[0])

    def sharing(self) -> float:
        """Return the share of the named layers that two students have in common, mean over pairs, in [0, 1].

        One student shares everything with itself: 1.
        """
        pairs = list(combinations(range(self.students), 2))
        common = sum(row[a] == row[b] for row in self.table for a, b in pairs)
        return common / (len(pairs) * len(self.layers)) if pairs else 1.0

    def difference(self, other: "Routes") -> str:
        """Describe where another table first differs from this one; empty where it does not."""
        for own, its in zip_longest(self.layers, other.layers):
            if own != its:
                return f"layer {its!r} stands where this table has {own!r}"
        for name, own_row, its_row in zip(self.layers, self.table, other.table, strict=True):
            if own_row != its_row:
                return (
                    f"at layer {name!r} its students take modules {list(its_row)}, and here {list(own_row)}"
                )
        if self.modules != other.modules:
            return f"it has {list(other.modules)} modules a layer, and this table {list(self.modules)}"
        return "" if self == other else f"its leader is {other.leader}, and here {self.leader}"

    def draw(self, path: str | Path | None = None) -> str:
        """Draw the table, and one pass of all students through it, as an SVG picture; notebooks show it unasked.

        Args:
            path: file to write the picture to, such as `"routes.svg"`; omitted, none is written.

        Returns:
            The text of the SVG file, see `studygroup.route_drawing.draw_routes`.

        Raises:
            OSError: the file could not be written.
        """
        picture = draw_routes(self)
        if path is not None:
            Path(path).write_text(picture, encoding="utf-8")
        return picture

    _repr_svg_ = draw

    def to_json(self) -> str:
        """Return the table as JSON text, one line a layer."""
        rows = ",\n".join(
            f'    {json.dumps(name)}: {{"modules": {count}, "students": {json.dumps(list(row))}}}'
            for name, row, count in zip(self.layers, self.table, self.modules, strict=True)
        )
        return f'{{\n  "leader": {json.dumps(self.leader)},\n  "layers": {{\n{rows}\n  }}\n}}\n'

    @classmethod
    def from_json(cls, text: str) -> "Routes":
        """Read what `to_json` wrote.

        Raises:
            ValueError: the text is not JSON (a truncated file, say) or is not a route table.
        """
        try:
            content = json.loads(text)
            layers = content["layers"]
            return cls(
                layers=tuple(layers),
                table=tuple(tuple(layer["students"]) for layer in layers.values()),
                modules=tuple(layer["modules"] for layer in layers.values()),
                leader=content["leader"],
            )
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"not a route table: {error!r} in {text[:60]!r}; write one with Routes.to_json()"
            ) from error


def independent(layers: Iterable[Layer] = ("",), *, students: int) -> Routes:
    """Give every student modules of its own at every layer (DML, multi-instance).

    Args:
        layers: the default is the whole model: as many separate networks as students.
        students: number of students.
    """
    return branches(layers, students=students)


def branches(layers: Iterable[Layer], *, students: int, leader: int | None = None) -> Routes:
    """Give every student a branch of its own of the named layers and share all others (CL-ILR, ONE, OKDDip).

    Args:
        layers: names of the layers of a branch, such as `["layer4", "fc"]`.
        students: number of branches.
        leader: the student that leads the group, if the method has a leader.
    """
    row = tuple(range(check_whole("students", students, least=1)))
    return _table([(layer, row) for layer in check_names("layers", layers)], leader)


def tree(table: Mapping[Layer, Sequence[int]], *, leader: int | None = None) -> Routes:
    """Build a route table from its rows, such as a tree (Song & Chai 2018, figure 1c).

    Args:
        table: layer name to the module of each student: `{"layer3": [0, 0, 1, 1], "layer4": [0, 1, 2, 3],
            "fc": [0, 1, 2, 3]}`. Any table is allowed; in a tree, every row refines the one before.
        leader: the student that leads the group, if the method has a leader.
    """
    if not isinstance(table, Mapping):
        raise ValueError(f"table is {shown(table)}; give a mapping from layers to the module of each student")
    return _table(list(table.items()), leader)


def random(
    layers: Iterable[Layer], *, students: int, modules: int, seed: int = 0, distinct: bool = True
) -> Routes:
    """Draw random paths: at each layer every student takes one of `modules` modules (CGL, equation 1).

    Departs:
        By default no two students take the same path, and no module is left idle, where the numbers allow (K ≤ M^L,
        K ≥ M); `distinct=False` draws every entry uniformly, as printed.

    Args:
        layers: layer names; a tuple of names shares one draw (a stem of convolution and norm).
        students: number of students, K.
        modules: number of modules per layer, M.
        seed: equal seeds give equal tables.
        distinct: whether to make all paths differ and leave no module idle.

    Raises:
        ValueError: no layers, students or modules, or no distinct table was found.

    Warns:
        EqualPathsWarning: there are more students than paths, and `distinct` was not turned off.
    """
    groups = [_names(layer) for layer in check_names("layers", layers)]
    students, modules = check_whole("students", students, least=1), check_whole("modules", modules, least=1)
    seed = check_whole("seed", seed)
    if not groups:
        raise ValueError(f"{students} students and no layer to route; name at least one layer")
    check_flag("distinct", distinct)
    draw = python_random.Random(seed)
    table = (
        _distinct(draw, len(groups), students, modules)
        if distinct
        else [[draw.randrange(modules) for _ in range(students)] for _ in groups]
    )
    rows = [(name, tuple(row)) for group, row in zip(groups, table, strict=True) for name in group]
    return Routes(
        tuple(name for name, _ in rows), tuple(row for _, row in rows), modules=(modules,) * len(rows)
    )


def hierarchical_dropout(layers: Sequence[str], *, views: int = 2) -> Routes:
    """Build views of one network: every dropout layer is sampled `views` times for each mask before it (L_out).

    Args:
        layers: names of the dropout layers in call order, n of them.
        views: K of the intra-model paper, section III-A; K^n predictions are the "students".

    Returns:
        A tree: `drop1: 0 0 1 1`, `drop2: 0 1 0 1` for two layers and two views. A mask is drawn for every row,
        so the views of a later layer are drawn anew for every view of the earlier ones, figure 1d.
    """
    depth, views = len(check_names("layers", layers)), check_whole("views", views, least=1)
    return tree(
        {
            name: [view // views ** (depth - 1 - i) % views for view in range(views**depth)]
            for i, name in enumerate(layers)
        }
    )


def compose(*tables: Routes) -> Routes:
    """Combine tables over different layers: one student for every combination of one student of each.

    `compose(branches(["layer4", "fc.0"], students=3), hierarchical_dropout(["fc.2"]))` gives views of every branch.

    Args:
        tables: tables whose layers neither coincide nor lie inside one another; the students of the first vary
            slowest, so that student j of two tables combines students j // K and j % K, where K is the number of
            students of the second.

    Raises:
        ValueError: no tables, layers that overlap, or a table with a leader, of which there would be several.
    """
    for table in tables:
        check_kind("one of the tables", table, Routes, "tables of studygroup.routes")
    led = [table for table in tables if table.leader is not None]
    if led:
        raise ValueError(
            f"student {led[0].leader} leads one of the tables and would be several in the composed one; give "
            "tables without a leader"
        )
    chosen = list(product(*(range(table.students) for table in tables)))
    rows = [
        (name, tuple(row[students[i]] for students in chosen), modules)
        for i, table in enumerate(tables)
        for name, row, modules in zip(table.layers, table.table, table.modules, strict=True)
    ]
    names, table_rows, modules = zip(*rows, strict=True) if rows else ((), (), ())
    return Routes(names, table_rows, modules)


def _table(rows: Sequence[tuple[Layer, Sequence[int]]], leader: int | None) -> Routes:
    """Return the table of some layers' rows; names that share a row get it each."""
    named = [
        (name, tuple(check_names(f"the row of layer {name!r}", row)))
        for layer, row in rows
        for name in _names(layer)
    ]
    return Routes(tuple(name for name, _ in named), tuple(row for _, row in named), leader=leader)


def _names(layer: Layer) -> tuple[str, ...]:
    return (layer,) if isinstance(layer, str) else tuple(check_names("one of the layers", layer))


def _modules(number: int, row: Any) -> tuple[int, ...]:
    """Return a row of the table as whole numbers."""
    what = f"row {number} of the table"
    return tuple(check_whole(f"a module in {what}", module) for module in check_names(what, row))


def _distinct(draw: python_random.Random, layers: int, students: int, modules: int) -> list[list[int]]:
    """Draw the rows of a random table with distinct columns and no idle module, where the numbers allow."""
    want_distinct, want_busy = students <= modules**layers, students >= modules
    if not want_distinct:
        warnings.warn(
            f"{students} students and {modules**layers} paths ({modules} modules at each of {layers} layers): some "
            "are the same network, and teach each other nothing; give more layers or modules, fewer students, or "
            "distinct=False if that is meant",
            EqualPathsWarning,
            stacklevel=3,
        )
    for attempt in range(_TRIES):
        if attempt % 2 and want_busy:  # few students a module: busy rows, then hope for distinct columns
            table = [_surjection(draw, students, modules) for _ in range(layers)]
        elif want_distinct:  # many students a module: distinct columns, then hope for busy rows
            table = [list(row) for row in zip(*_paths(draw, layers, students, modules), strict=True)]
        else:
            table = [[draw.randrange(modules) for _ in range(students)] for _ in range(layers)]
        columns = set(zip(*table, strict=True))
        busy = all(len(set(row)) == modules for row in table)
        if (len(columns) == students or not want_distinct) and (busy or not want_busy):
            return table
    raise ValueError(
        f"no table of {layers} layers, {students} students and {modules} modules with distinct paths and no "
        f"idle module in {_TRIES} draws; use distinct=False or another seed"
    )


def _paths(draw: python_random.Random, layers: int, students: int, modules: int) -> list[tuple[int, ...]]:
    """Draw distinct paths, uniformly."""
    paths: dict[tuple[int, ...], None] = {}
    while len(paths) < students:
        paths[tuple(draw.randrange(modules) for _ in range(layers))] = None
    return list(paths)


def _surjection(draw: python_random.Random, students: int, modules: int) -> list[int]:
    """Draw one layer's row with every module in use: each once, the rest uniformly, in random order."""
    row = list(range(modules)) + [draw.randrange(modules) for _ in range(students - modules)]
    draw.shuffle(row)
    return row


def _check_shape(routes: Routes) -> None:
    if not routes.layers or not routes.table or not routes.table[0]:
        raise ValueError(
            f"a route table of {len(routes.layers)} layers and {len(routes.table)} rows has nobody to route; "
            "name at least one layer and one student"
        )
    lengths = sorted({len(row) for row in routes.table})
    if len(lengths) > 1 or not len(routes.layers) == len(routes.table) == len(routes.modules):
        raise ValueError(
            f"{len(routes.layers)} layers, {len(routes.table)} rows with {lengths} students and "
            f"{len(routes.modules)} module counts; give every layer one row, every row all students"
        )
    for name, row, count in zip(routes.layers, routes.table, routes.modules, strict=True):
        wrong = [module for module in row if not 0 <= module < count]
        if wrong:
            raise ValueError(
                f"layer {name!r} has modules 0 to {count - 1}, but a student takes module {wrong[0]}"
            )
    if routes.leader is not None and not 0 <= routes.leader < routes.students:
        raise ValueError(
            f"leader {routes.leader} is not one of students 0 to {routes.students - 1}; give one of these"
        )


def _check_names(layers: tuple[str, ...]) -> None:
    for name in layers:
        if layers.count(name) > 1:
            raise ValueError(f"layer {name!r} is named {layers.count(name)} times; name it once")
        inside = [other for other in layers if other != name and _contains(name, other)]
        if inside:
            raise ValueError(
                f"layer {inside[0]!r} lies inside layer {name!r}, which is routed already; name one of the two"
            )


def _contains(outer: str, inner: str) -> bool:
    return not outer or inner.startswith(f"{outer}.")
