"""Loops of others before and after: what a user adds, and that both run. As a script, it writes the diffs."""

import difflib
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LOOPS = ROOT / "examples" / "loops"
PAGE = ROOT / "docs" / "loops.md"
ADDED = {"plain": 4, "accelerate": 4, "timm": 4, "lightning": 5, "trainer": 5}  # lines that are not blank


def lines(when: str, name: str) -> list[str]:
    return (LOOPS / when / f"{name}.py").read_text().splitlines()


def difference(name: str) -> str:
    """What turns a loop into one of a group, as a diff without its two header lines."""
    found = difflib.unified_diff(lines("before", name), lines("after", name), n=1, lineterm="")
    return "\n".join(list(found)[2:])


def written(page: str) -> str:
    """The page with the diffs of the scripts that stand before them."""

    def block(match: re.Match[str]) -> str:
        return f"{match[1]}```diff\n{difference(match[2])}\n```"

    return re.sub(r"(examples/loops/after/(\w+)\.py\).*?\n\n)```diff\n.*?\n```", block, page, flags=re.DOTALL)


@pytest.mark.parametrize("name", ADDED)
def test_few_lines_are_added(name):
    added = [line for line in difference(name).splitlines() if re.match(r"\+ *\S", line)]
    assert len(added) == ADDED[name]


def test_the_page_shows_the_scripts_as_they_are():
    page = PAGE.read_text()
    assert all(f"examples/loops/after/{name}.py)" in page for name in ADDED)
    assert page.count("```diff") == len(ADDED)
    assert written(page) == page


def options(name: str, folder: Path) -> tuple[list[object], dict[str, object]]:
    quiet = {
        "lightning": {
            "accelerator": "cpu",
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
        },
        "trainer": {"use_cpu": True, "report_to": [], "disable_tqdm": True, "dataloader_pin_memory": False},
    }
    return [folder] if name == "trainer" else [], quiet.get(name, {})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the libraries: loader processes, missing loggers
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", ADDED)
def test_a_loop_runs_and_its_network_learns(name, when, tmp_path):
    given, quiet = options(name, tmp_path)
    epochs = 12 if name == "timm" else 4
    share = runpy.run_path(str(LOOPS / when / f"{name}.py"))["main"](*given, epochs=epochs, **quiet)
    assert 0.15 < share <= 1  # chance is 0.1


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
