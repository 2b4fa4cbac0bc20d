"""Curves over epochs as inline SVG, coloured by the page's style sheet, so that they follow light and dark."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 460, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 10, 10, 34


@dataclass(frozen=True)
class Curve:
    """One line of a chart.

    Attributes:
        name: for the legend; lines of equal name share one entry.
        x: epochs.
        y: values, as many.
        style: class of the style sheet: `student`, `main`, `second` or `third`.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    style: str = "main"


def chart(title: str, curves: Sequence[Curve], *, percent: bool = False) -> str:
    """A chart with its title and legend, as one HTML figure.

    Args:
        title: said above it, and read aloud for it.
        curves: drawn in their order; points that are not finite are left out.
        percent: whether values are shares, shown in percent.
    """
    points = [(x, y) for curve in curves for x, y in zip(curve.x, curve.y, strict=True) if math.isfinite(y)]
    if not points:
        return ""
    xs, ys = _span([x for x, _ in points]), _span([y for _, y in points])
    lines = "".join(_line(curve, xs, ys) for curve in curves)
    legend = "".join(
        f'<span class="{style}">{escape(name)}</span>'
        for name, style in {c.name: c.style for c in curves}.items()
    )
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><div class="legend">{legend}</div>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)} over epochs">'
        f"{_grid(xs, ys, percent=percent)}{lines}</svg></figure>"
    )


def _span(values: Sequence[float]) -> tuple[float, float]:
    """Ends of an axis; a constant gets room on both sides."""
    low, high = min(values), max(values)
    room = abs(low) / 10 or 1.0
    return (low, high) if high > low else (low - room, high + room)


def _place(x: float, y: float, xs: tuple[float, float], ys: tuple[float, float]) -> tuple[float, float]:
    """From values to the picture's coordinates."""
    across = (x - xs[0]) / (xs[1] - xs[0])
    up = (y - ys[0]) / (ys[1] - ys[0])
    return (
        _LEFT + across * (_WIDTH - _LEFT - _RIGHT),
        _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM),
    )


def _line(curve: Curve, xs: tuple[float, float], ys: tuple[float, float]) -> str:
    """One curve; a single point is a dot."""
    places = [_place(x, y, xs, ys) for x, y in zip(curve.x, curve.y, strict=True) if math.isfinite(y)]
    if len(places) == 1:
        return f'<circle class="{curve.style}" cx="{places[0][0]:.1f}" cy="{places[0][1]:.1f}" r="3"/>'
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return f'<polyline class="{curve.style}" points="{path}"/>'


def _grid(xs: tuple[float, float], ys: tuple[float, float], *, percent: bool) -> str:
    """Grid lines with their numbers, and the name of the horizontal axis."""
    parts = []
    for value in ticks(*ys):
        _, y = _place(xs[0], value, xs, ys)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text class="up" x="{_LEFT - 6}" y="{y + 4:.1f}">{_number(value, percent)}</text>')
    for value in ticks(*xs):
        if value == int(value):
            x, _ = _place(value, ys[0], xs, ys)
            parts.append(f'<text class="across" x="{x:.1f}" y="{_HEIGHT - 18}">{value:.0f}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text class="across" x="{middle}" y="{_HEIGHT - 3}">epoch</text>')
    return "".join(parts)


def _number(value: float, percent: bool) -> str:
    return f"{100 * value:.4g} %" if percent else f"{value:.4g}"


def ticks(low: float, high: float) -> list[float]:
    """Some five round numbers between two ends.

    Args:
        low: lower end.
        high: upper end, above `low`.
    """
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(count * step, 12) for count in range(first, last + 1)]
