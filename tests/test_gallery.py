"""The gallery's code runs as it stands, and its tables are what was measured."""

import math
import re
from pathlib import Path

import pytest

from reproduction.benchmarks.cells import interval, over, spread
from reproduction.benchmarks.gallery_tables import found, table

pytestmark = pytest.mark.slow  # whole runs

ROOT = Path(__file__).parent.parent
PAGES = {page.stem: page.read_text() for page in (ROOT / "docs" / "gallery").glob("*.md")}


@pytest.mark.parametrize("page", ["label-noise", "few-labels", "ensemble"])
def test_the_pages_code_runs_and_learns(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGES[page], flags=re.M | re.S)
    shorter = re.sub(
        r"(EPOCHS|epochs) ?= ?[\d.]+", r"\1=4", re.sub(r"EPOCHS, SEED = .*", "EPOCHS, SEED = 4, 0", code)
    )
    exec(compile(shorter.replace("WRONG, SEED = 0.6", "WRONG, SEED = 0.2"), page, "exec"), {"__name__": page})
    shares = [float(share) for share in re.findall(r"([\d.]+)% of \d+ test rows", capsys.readouterr().out)]
    assert len(shares) == (3 if page == "ensemble" else 2)
    assert min(shares) > 35  # chance is 10


@pytest.mark.parametrize("page", ["label-noise", "few-labels", "ensemble"])
def test_a_pages_picture_is_there(page: str) -> None:
    assert f"](../images/{page}.svg)" in PAGES[page]
    assert "<svg" in (ROOT / "docs" / "images" / f"{page}.svg").read_text()


def test_the_tables_are_those_of_the_finished_runs() -> None:
    results = (ROOT / "reproduction" / "RESULTS.md").read_text()
    lines = [
        line
        for part in ("methods", "noisy_methods", "label_noise", "few_labels", "ensemble")
        for regime, runs in found(part).items()
        for line in table(part, regime, runs).splitlines()
    ]
    assert len(lines) > 110
    assert [line for line in lines if line not in results] == []
    (runs,) = found("ensemble").values()
    assert all(
        line in PAGES["ensemble"]
        for line in table("ensemble", *next(iter(found("ensemble").items()))).splitlines()
    )
    assert len(runs["plain"]) == 8


def test_differences_are_paired_by_seed() -> None:
    base = {seed: {"shipped": share} for seed, share in enumerate((0.5, 0.6, 0.7))}
    runs = {seed: {"shipped": base[seed]["shipped"] + gain} for seed, gain in enumerate((0.01, 0.02, 0.03))}
    mean, half, n = interval(runs | {9: {"shipped": 1.0}}, "shipped", base)
    assert (round(mean, 6), n) == (2.0, 3)
    assert half == pytest.approx(4.302653 / math.sqrt(3))
    assert over(runs, base, "shipped") == "+2.00 (-0.48 to +4.48)"
    assert spread(base, "shipped") == "60.00 ± 10.00"
