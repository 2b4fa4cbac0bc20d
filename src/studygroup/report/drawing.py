"""Matplotlib's figures as inline SVG that takes its colours and its font from the page."""

import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import Any

import markupsafe
import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

WIDTH = 470
"""Width of a plot, in pixels of the page at full size."""
_POINT = 72  # matplotlib draws SVG in points; one of its points is one pixel here

# Placeholder colours, replaced by variables of the style sheet: no figure has them otherwise.
_VARIABLES = ("ink", "soft", "line", "card", *(f"series{number}" for number in range(8)))
_COLOURS = {name: f"#0101{number + 16:02x}" for number, name in enumerate(_VARIABLES)}
INK, SOFT, LINE, CARD = (_COLOURS[name] for name in _VARIABLES[:4])
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
MOST = len(MARKERS)
"""Number of lines that markers and colours tell apart."""
DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1.5, 1.2)),
    (0, (6, 1.5, 1.5, 1.5)),
    (0, (3, 3)),
    (0, (8, 2)),
    (0, (4, 1.5, 1.5, 1.5, 1.5, 1.5)),
    (0, (1.5, 3)),
)

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be searched, and follows the page's font and colours
    "text.parse_math": False,  # a name with two dollar signs is no formula
    **dict.fromkeys(("font.size", "axes.titlesize", "axes.labelsize"), 11.0),
    **dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize"), 10.5),
    **dict.fromkeys(("text.color", "axes.labelcolor", "legend.labelcolor"), SOFT),
    **dict.fromkeys(("xtick.color", "ytick.color"), SOFT),
    **dict.fromkeys(("axes.edgecolor", "grid.color"), LINE),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon"), False),
    "axes.formatter.useoffset": False,
    **dict.fromkeys(("axes.grid", "axes.axisbelow"), True),
    **dict.fromkeys(("xtick.major.size", "ytick.major.size", "xtick.minor.size"), 0.0),
    "axes.facecolor": "none",
    "grid.linewidth": 0.8,
    "legend.handlelength": 2.6,
    "lines.linewidth": 1.8,
    "lines.markersize": 5.5,
}


@dataclass(frozen=True)
class Plot:
    """A figure of the page.

    Attributes:
        title: the heading above it.
        words: its text alternative, for screen readers.
        svg: the picture.
        note: the text below it.
    """

    title: str
    words: str
    svg: markupsafe.Markup
    note: str = ""


def colour(number: int) -> str:
    """Return the colour of a line or of points by number; the ninth is the first again."""
    return _COLOURS[f"series{number % 8}"]


@contextmanager
def figure_with_axes(
    *, height: float = 270.0, columns: int = 1, share: bool = True
) -> Iterator[tuple[Figure, Sequence[Axes]]]:
    """Make a figure of the page's width with its axes, side by side, in the page's style.

    Args:
        height: height in pixels.
        columns: number of axes.
        share: whether they share the vertical axis.
    """
    with matplotlib.rc_context(_STYLE):
        layout = ConstrainedLayoutEngine(wspace=0.06, w_pad=0.06)
        figure = Figure(figsize=(WIDTH / _POINT, height / _POINT), layout=layout)
        yield figure, list(figure.subplots(1, columns, squeeze=False, sharey=share)[0])


def legend(figure: Figure) -> None:
    """Draw a legend of the lines of the first axes above them, with as many columns as fit."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    columns = max(int(WIDTH // (44 + 6.6 * max(map(len, labels)))), 1)
    figure.legend(handles, labels, loc="outside upper left", ncols=min(columns, len(labels)))


def svg(figure: Figure, words: str) -> markupsafe.Markup:
    """Return a figure in the colours of this module as inline SVG, with `words` as its text alternative."""
    stream = io.StringIO()
    salt = hashlib.sha256(words.encode()).hexdigest()[:12]
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": salt}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(
        r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>|<!--.*?-->", "", text, flags=re.S
    )
    text = _own_names(_slim(text), salt)
    for name, value in _COLOURS.items():
        text = text.replace(value, f"var(--{name})")
    box = re.search(r'viewBox="[^"]*"', text)
    assert box is not None
    head = (
        f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" {box[0]} role="img" aria-label="{escape(words)}">'
    )
    return markupsafe.Markup(re.sub(r"\s*\n\s*", "\n", re.sub(r"<svg[^>]*>", head, text, count=1)))


def _slim(text: str) -> str:
    """Remove the font family, which the page sets, and invisible frames; shorten numbers."""
    text = re.sub(
        r"font: ([\d.]+)px [^;\"]*|font-family: [^;\"]*; ?",
        lambda m: f"font-size: {m[1]}px" if m[1] else "",
        text,
    )
    text = re.sub(r'<path d="[^"]*"\s+style="fill: none"/>|<g>\s*</g>|<g/>', "", text)
    return re.sub(r"<[^>]+>", lambda tag: re.sub(r"(\d+\.\d\d)\d+", r"\1", tag[0]), text)


def _own_names(text: str, salt: str) -> str:
    """Make a picture's ids unique to it; remove those that nothing refers to."""
    used = {*re.findall(r"url\(#([^)]+)\)", text), *re.findall(r'xlink:href="#([^"]+)"', text)}
    text = re.sub(r' id="([^"]+)"', lambda m: f' id="{salt}-{m[1]}"' if m[1] in used else "", text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{salt}-\1)", text)
    return re.sub(r'xlink:href="#([^"]+)"', rf'href="#{salt}-\1"', text)
