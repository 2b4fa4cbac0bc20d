"""The README's results: those that are committed, and what made-up ones would look like."""

from pathlib import Path

import made_up_results
import pytest

from reproduction.lab import Lab
from reproduction.report.readme import BEGIN, END, replaced, results

ROOT = Path(__file__).parents[2]


def test_the_readme_holds_what_the_results_say():
    lab = Lab(run_dir=ROOT, results=ROOT / "benchmarks" / "results" / "papers")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert replaced(readme, results(lab)) == readme, "run python benchmarks/readme.py"


def test_without_results_it_says_so(tmp_path):
    assert results(Lab(run_dir=tmp_path)) == "Nothing of the papers' tables has been run yet.\n"


def test_methods_go_down_and_sets_across(tmp_path):
    lab = made_up_results.fill(tmp_path, ["cgl-table-4"], skip=("without sub-set learning",))
    said = results(lab).split("\n\n")  # a cell of the table is one of others, which are shown in part
    said = said[next(at for at, text in enumerate(said) if text.startswith("**Table 4, ")) - 1 :]
    lines = said[2].splitlines()
    assert lines[0] == "|  | ResNet-18, CIFAR-100 |"
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        "| full CGL", "| without random routing", "| without sub-group imitation",
    ]  # fmt: skip
    assert lines[2].split(" | ")[1].startswith("78.01 / 6")
    assert lines[2].endswith("(3) |")
    assert said[3] == "CIFAR-100 is `made_up` here."
    assert said[4].startswith("Of 3 claims: holds ")
    assert said[4].strip().split("\n")[0].endswith("not tested 1.")


def test_settings_of_one_set_go_down_too(tmp_path):
    said = results(made_up_results.fill(tmp_path, ["regime-settings"], seeds=1))
    lines = said[said.index("**Students, modules") :].splitlines()
    assert lines[2] == "|  | CIFAR-10 |"
    assert [line.split(" | ")[0] for line in lines[4:7]] == ["| baseline", "| CGL", "| larger step"]
    assert lines[4].endswith(" (1) |")
    assert " / " not in lines[4]  # nothing is published beside it


def test_no_claim_is_told_below_three_seeds(tmp_path):
    lab = made_up_results.fill(tmp_path, ["cgl-table-4"], seeds=2)
    said = results(lab)
    assert "(2) |" in said
    assert "claims:" not in said


def test_the_text_between_the_marks_is_replaced():
    readme = f"before\n{BEGIN}\n\nold\n\n{END}\nafter\n"
    assert replaced(readme, "new\n") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    assert replaced(replaced(readme, "new\n"), "new\n") == replaced(readme, "new\n")
    with pytest.raises(ValueError, match="put both where the results belong"):
        replaced(f"{END} {BEGIN}", "new\n")
