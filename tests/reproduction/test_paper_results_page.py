"""The tables of RESULTS.md: those that are committed, and what made-up results would look like."""

import made_up_results
import pytest

from reproduction.benchmarks.readme import BEGIN, END, LAB, RESULTS, with_tables
from reproduction.lab import Lab
from reproduction.reading import tables
from reproduction.show import results_page

ALL = tuple(tables().values())


def test_the_page_holds_what_the_results_say():
    page = RESULTS.read_text(encoding="utf-8")
    assert with_tables(page, results_page(ALL, LAB)) == page, "run python -m reproduction.benchmarks.readme"


def test_without_results_it_says_so(tmp_path):
    assert results_page(ALL, Lab(run_dir=tmp_path)) == "Nothing of the papers' tables has been run yet.\n"


def test_only_tables_with_runs_stand_there(tmp_path):
    lab = made_up_results.fill(tmp_path, ["cgl-table-4"], skip=("without sub-set learning",))
    said = results_page(ALL, lab)
    titles = [line for line in said.splitlines() if line.startswith("### ")]
    assert "### Table 4, ablation of Collaborative Group Learning" in titles or titles[1].startswith(
        "### Table 4"
    )
    assert not [title for title in titles if "Table 3" in title or "Table I," in title]
    row = next(line for line in said.splitlines() if line.startswith("| ResNet-18, CIFAR-100 | 78.01 / 6"))
    assert row.count("(3)") == 3  # of four cells
    assert "- CIFAR-100 is `made_up` here." in said
    assert "| claim | published numbers | here |" in said


def test_the_text_between_the_marks_is_replaced():
    page = f"before\n{BEGIN}\n\nold\n\n{END}\nafter\n"
    assert with_tables(page, "new\n") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    assert with_tables(with_tables(page, "new\n"), "new\n") == with_tables(page, "new\n")
    with pytest.raises(ValueError, match="put both where the tables belong"):
        with_tables(f"{END} {BEGIN}", "new\n")
