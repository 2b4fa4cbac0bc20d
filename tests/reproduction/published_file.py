"""The published numbers as `shared/papers/published.md` beside the repository has them."""

import re
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2].parent / "shared" / "papers" / "published.md"
_NUMBER = re.compile(r"(-?\d+(?:,\d{3})*(?:\.\d+)?)(k?)(?: ± (\d+\.\d+))?")


def text():
    """The whole file."""
    if not FILE.exists():
        pytest.skip(f"{FILE} is missing: published numbers cannot be compared with it")
    return FILE.read_text()


def rows(heading):
    """Cells of the Markdown table rows below a heading, rows of dashes left out."""
    part = re.split(r"^### ", text(), flags=re.MULTILINE)
    found = [section for section in part if section.startswith(heading)]
    assert len(found) == 1, heading
    lines = [line for line in found[0].splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if not set(row[0]) <= {"-"} or not row[0]]


def number(cell):
    """Mean and deviation of a cell; `45k` is 45,000."""
    match = _NUMBER.match(cell)
    assert match, cell
    mean, thousands, std = match.groups()
    value = float(mean.replace(",", "")) * (1000 if thousands else 1)
    return value, None if std is None else float(std)
