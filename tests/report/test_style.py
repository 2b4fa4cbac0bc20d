"""The page's style sheet: what is written in a colour can be read, in light and in dark."""

import re
from importlib.resources import files

import pytest

SHEET = (files("studygroup.report") / "templates" / "page.css").read_text(encoding="utf-8")
READABLE = 4.5
"""Contrast of text that WCAG 2 asks for."""
# Machado's matrices for those who lack the green or the red cones, on linear RGB
BLIND = {
    "deuteranopia": ((0.367, 0.861, -0.228), (0.280, 0.673, 0.047), (-0.012, 0.043, 0.969)),
    "protanopia": ((0.152, 1.053, -0.205), (0.115, 0.786, 0.099), (-0.004, -0.048, 1.052)),
}


def variables(sheet):
    """The sheet's colours by name, in light and in dark, without what is for print alone."""
    sheet = sheet.partition("@media print")[0]
    dark = "".join(re.findall(r"prefers-color-scheme:dark\)\{(:root\{[^}]*\})\}", sheet))
    light = re.sub(r"@media[^{]*prefers-color-scheme:dark\)\{:root\{[^}]*\}\}", "", sheet)
    found = {
        name: dict(re.findall(r"--([\w-]+):(#[0-9a-f]{6})\b", part))
        for name, part in (("light", light), ("dark", dark))
    }
    assert found["dark"].keys() == found["light"].keys()
    return found


COLOURS = variables(SHEET)


def linear(colour):
    """Linear red, green and blue, in [0, 1], of a colour as the sheet writes it."""
    shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    return [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in shares]


def contrast(one, other):
    """The contrast of two colours, in linear RGB, as WCAG 2 defines it."""
    dark, light = sorted(0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in (one, other))
    return (light + 0.05) / (dark + 0.05)


def rule(selector):
    """The variables that a rule of the sheet sets to others."""
    (found,) = re.findall(rf"(?m)^{re.escape(selector)}\{{([^}}]*)\}}", SHEET)
    return dict(re.findall(r"--(\w+):var\(--([\w-]+)\)", found))


def test_contrast_is_that_of_the_standard():
    assert contrast(linear("#ffffff"), linear("#000000")) == pytest.approx(21)
    assert contrast(linear("#777777"), linear("#ffffff")) == pytest.approx(4.478, abs=1e-3)


@pytest.mark.parametrize("scheme", COLOURS)
@pytest.mark.parametrize("verdict", [".said", ".said.ahead", ".said.behind"])
def test_a_verdict_can_be_read(verdict, scheme):
    colours, own = COLOURS[scheme], rule(verdict)
    ground = linear(colours[own["tint"]])
    assert contrast(linear(colours[own["verdict"]]), ground) >= READABLE
    assert contrast(linear(colours["ink"]), ground) >= READABLE


@pytest.mark.parametrize("scheme", COLOURS)
@pytest.mark.parametrize(
    ("text", "ground"),
    [("ink", "ship-tint"), ("paper", "main"), ("soft", "paper"), ("good", "paper"), ("bad", "paper"),
     ("open", "paper"), ("main", "paper"), ("soft", "card")],
)  # fmt: skip
def test_text_can_be_read(text, ground, scheme):
    assert contrast(linear(COLOURS[scheme][text]), linear(COLOURS[scheme][ground])) >= READABLE


@pytest.mark.parametrize("scheme", COLOURS)
@pytest.mark.parametrize("kind", ["right", "wrong"])
def test_counts_can_be_read_on_the_darkest_cells_of_a_matrix(kind, scheme):
    shape = rf"\.matrix \.{kind}{{[^}}]*var\(--(\w+)\) calc\((\d+)% \+ (\d+)%\*var\(--part\)\),var\(--(\w+)\)"
    ((hue, least, more, ground),) = re.findall(shape, SHEET)
    share = (int(least) + int(more)) / 100
    pairs = [(COLOURS[scheme][hue], COLOURS[scheme][ground])]
    (mixed,) = [
        [
            round(share * int(one[at : at + 2], 16) + (1 - share) * int(other[at : at + 2], 16))
            for at in (1, 3, 5)
        ]
        for one, other in pairs
    ]
    darkest = linear("#" + "".join(f"{channel:02x}" for channel in mixed))
    assert contrast(linear(COLOURS[scheme]["ink"]), darkest) >= READABLE


@pytest.mark.parametrize("scheme", COLOURS)
@pytest.mark.parametrize("blind", BLIND)
def test_verdicts_differ_for_the_colour_blind(blind, scheme):
    """They differ in some channel, as such an eye sees them, by more than a tenth of the range."""

    def seen(name):
        colour = linear(COLOURS[scheme][name])
        return [sum(m * c for m, c in zip(row, colour, strict=True)) for row in BLIND[blind]]

    ahead, behind = (seen(rule(f".said{kind}")["verdict"]) for kind in (".ahead", ".behind"))
    assert max(abs(a - b) for a, b in zip(ahead, behind, strict=True)) > 0.1
