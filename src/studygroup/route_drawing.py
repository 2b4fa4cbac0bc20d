"""A route table as a picture: the table, and beside it one pass of all students through the layers' modules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from studygroup.routes import Routes

# Okabe and Ito's palette, which readers with any colour vision tell apart, on white and on black (yellow left out).
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#8c6d31", "#7f7f7f")
_ROW, _BOX, _CELL, _GAP, _EDGE, _TOP, _END = 52, 30, 26, 18, 16, 62, 30
_THICK, _LANE = 3.5, 12.0
"""Width of a path, and from one path to the next where students are two computations."""
_LETTER = 7.4
"""Width of a letter of a layer's name, in pixels."""
_STYLE = """
.page{fill:#fff}.ink{fill:#24292f}.soft{fill:#57606a}.box{fill:#f3f5f7;stroke:#8c959f}.cell{stroke:#fff}
text{font:13px ui-sans-serif,system-ui,sans-serif}.name{font-family:ui-monospace,monospace;font-size:12px}
.line{fill:none;stroke-width:3.5}.number{font-size:10px;fill:#57606a}
.answer{font-size:11px;font-weight:600}
@media (prefers-color-scheme:dark){.page{fill:#0d1117}.ink{fill:#e6edf3}.soft{fill:#9da7b1}
.box{fill:#1b222b;stroke:#6e7681}.cell{stroke:#0d1117}.number{fill:#9da7b1}}"""


def draw_routes(routes: Routes) -> str:
    """Return a route table as an SVG picture, readable on light and on dark pages.

    On the left the table: a row for each layer, a column for each student, in each cell the module that the student
    takes. On the right one pass: the layers' modules as boxes, and each student's path through them in its own
    colour. Where paths lie edge to edge, their students have taken the same modules so far and are one computation.

    Args:
        routes: the route table.

    Returns:
        The text of an SVG file without outside resources; the words in it are a text alternative, too.
    """
    return "".join(_Picture(routes).parts())


class _Picture:
    """Positions of the picture's parts, in pixels."""

    def __init__(self, routes: Routes) -> None:
        self.routes = routes
        self.names = [name or "the whole network" for name in routes.layers]
        self.cells = _EDGE + max(len("student"), *map(len, self.names)) * _LETTER + 12
        left = self.cells + routes.students * _CELL + 44
        beside = [self.ribbons(layer) for layer in range(len(self.names))]
        self.boxes = [max(ribbons[-1] for ribbons in layer) + 52 for layer in beside]
        wide = [count * (box + _GAP) - _GAP for count, box in zip(routes.modules, self.boxes, strict=True)]
        right = left + max(110.0, routes.students * _END, *wide)
        self.middle = (left + right) / 2
        self.width, self.height = right + _EDGE, _TOP + len(self.names) * _ROW + 44.0
        self.paths = self.follow()

    def parts(self) -> Iterator[str]:
        """Give the picture's elements from back to front."""
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} {self.height:g}" '
            f'width="{self.width:g}" height="{self.height:g}" role="img">'
            f"<title>A route table and one pass through it</title><desc>{escape(self.words())}</desc>"
            f"<style>{_STYLE}</style>"
            f'<rect class="page" width="{self.width:g}" height="{self.height:g}" rx="8"/>'
        )
        yield _text(_EDGE, 24, "route table", "ink")
        yield _text(self.middle, 24, "one pass", "ink", "middle")
        yield _text(_EDGE, 46, "student", "soft")
        for student in range(self.routes.students):
            yield _text(self.column(student), 46, self.called(student), "soft", "middle")
        for layer in range(len(self.names)):
            yield from self.layer(layer)
        for student, path in enumerate(self.paths):
            yield f'<path class="line" stroke="{_colour(student)}" d="{_curve(path)}"/>'
        for student, path in enumerate(self.paths):
            end = path[-1][0]
            ring = f'stroke="{_colour(student)}" stroke-width="2.5"'
            yield f'<circle class="page" cx="{end:g}" cy="{self.height - 21:g}" r="12" {ring}/>'
            yield _text(end, self.height - 17, self.called(student), "ink answer", "middle")
        yield "</svg>\n"

    def words(self) -> str:
        """Say the table in words."""
        rows = zip(self.names, self.routes.table, strict=True)
        return "Module of each student. " + ". ".join(
            f"{name}: {' '.join(map(str, row))}" for name, row in rows
        )

    def called(self, student: int) -> str:
        """Return the student's number, with a star if it leads."""
        return f"{student}*" if student == self.routes.leader else str(student)

    def height_of(self, layer: int) -> float:
        """Return the height at which a layer's row lies."""
        return _TOP + layer * _ROW + _ROW / 2

    def column(self, student: int) -> float:
        """Return where a student's column of the table lies."""
        return self.cells + (student + 0.5) * _CELL

    def layer(self, layer: int) -> Iterator[str]:
        """Give a layer's name, its cells of the table, and its modules."""
        y, box = self.height_of(layer), self.boxes[layer]
        yield _text(_EDGE, y + 5, self.names[layer], "ink name")
        for student, module in enumerate(self.routes.table[layer]):
            left = self.cells + student * _CELL
            yield f'<rect class="cell box" x="{left:g}" y="{y - 13:g}" width="{_CELL}" height="26" rx="4"/>'
            yield _text(self.column(student), y + 5, str(module), "ink", "middle")
        for module in range(self.routes.modules[layer]):
            left = self.centre(layer, module) - box / 2
            yield f'<rect class="box" x="{left:g}" y="{y - _BOX / 2:g}" width="{box:g}" height="{_BOX}" rx="6"/>'
            yield _text(left + 5, y - 3, str(module), "number")

    def centre(self, layer: int, module: int) -> float:
        """Return where a module's box has its centre."""
        return self.middle + (module - (self.routes.modules[layer] - 1) / 2) * (self.boxes[layer] + _GAP)

    def ribbons(self, layer: int, order: Sequence[int] = ()) -> list[list[float]]:
        """Return, for each module of a layer, where the paths of its students lie, from its first path's place on.

        Students that have taken the same modules until here lie edge to edge: they are one computation.

        Args:
            layer: number of the layer.
            order: the students, from left to right; omitted, by their paths.
        """
        taken = [path[: layer + 1] for path in zip(*self.routes.table, strict=True)]
        students = order or sorted(range(self.routes.students), key=taken.__getitem__)
        found = []
        for module in range(self.routes.modules[layer]):
            inside = [student for student in students if taken[student][-1] == module]
            steps = (_THICK if taken[one] == taken[next_] else _LANE for one, next_ in pairwise(inside))
            found.append(list(accumulate(steps, initial=0.0)))  # one place where there is nobody, too
        return found

    def follow(self) -> list[list[tuple[float, float]]]:
        """Return the places that each student's path passes, from the batch to its answers."""
        count = self.routes.students
        order = list(range(count))
        paths = [[(self.middle + (k - (count - 1) / 2) * _THICK, 34.0)] for k in range(count)]
        for layer, y in enumerate(map(self.height_of, range(len(self.names)))):
            for module, places in enumerate(self.ribbons(layer, order)):
                inside = [student for student in order if self.routes.table[layer][student] == module]
                for student, place in zip(inside, places, strict=bool(inside)):
                    x = self.centre(layer, module) + place - places[-1] / 2
                    paths[student] += [(x, y - _BOX / 2), (x, y + _BOX / 2)]
            order.sort(key=lambda student: paths[student][-1])
        for at, student in enumerate(order):
            paths[student].append((self.middle + (at - (count - 1) / 2) * _END, self.height - 32))
        return paths


def _colour(student: int) -> str:
    return _COLOURS[student % len(_COLOURS)]


def _text(x: float, y: float, words: str, kind: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(words)}</text>'


def _curve(places: Sequence[tuple[float, float]]) -> str:
    """Return the path through some places that leaves and enters each of them straight down."""
    steps = (
        f"C{x0:g} {(y0 + y1) / 2:g} {x1:g} {(y0 + y1) / 2:g} {x1:g} {y1:g}"
        for (x0, y0), (x1, y1) in pairwise(places)
    )
    return f"M{places[0][0]:g} {places[0][1]:g}" + "".join(steps)
