"""Two comparisons of the same configurations: `studygroup analyse transfer`."""

import json

import pytest

from studygroup.analysis.comparisons import transfer
from studygroup.cli import main


def comparison(folder, tests):
    """What `compare` leaves, as far as it is read: the rows, and of each run the summary."""
    rows = [{"name": name, "n": len(some), "seeds": [*range(len(some))]} for name, some in tests.items()]
    folder.mkdir()
    (folder / "comparison.json").write_text(json.dumps(rows))
    for name, some in tests.items():
        for seed, test in enumerate(some):
            run = folder / f"{name}-{seed}"
            run.mkdir()
            (run / "summary.json").write_text(json.dumps({"run": {}, "shipped": {"test": test}}))
    return folder


@pytest.fixture
def two(tmp_path):
    first = {"a": [0.90, 0.92, 0.94], "b": [0.80, 0.82, 0.84], "c": [0.70, 0.72, 0.74], "only": [0.5]}
    second = {"c": [0.30, 0.32, 0.34], "b": [0.60, 0.62, 0.64], "a": [0.50, 0.52, 0.54]}
    return comparison(tmp_path / "cifar10", first), comparison(tmp_path / "cifar100", second)


def test_the_same_names_are_ranked_on_both_sets(two, capsys):
    assert main(["analyse", "transfer", *map(str, two)]) == 0
    said = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert lines[:4] == [
        "cifar10 rank cifar100 rank",
        "a 92.00 ± 2.00 (3) 1 52.00 ± 2.00 (3) 2",
        "b 82.00 ± 2.00 (3) 2 62.00 ± 2.00 (3) 1",
        "c 72.00 ± 2.00 (3) 3 32.00 ± 2.00 (3) 3",
    ]
    # of the six orders of three, those with rho 0.5 or more: the order itself and two with neighbours changed
    assert "Rank correlation of cifar10 and cifar100: Spearman's rho 0.50 [0.50, 0.50]" in said
    assert "share of 0.5 has such a rho or a higher one (exact permutation test)" in said
    assert "cifar10: the structures span 20.00 points; as many equal ones would stay below 5.01" in said
    assert "a, the best on cifar10, has rank 2 of 3 on cifar100, +3.33 points from the mean of all." in said


def test_one_seed_has_no_interval(tmp_path):
    names = "abc"
    one = comparison(tmp_path / "one", {name: [k / 10] for k, name in enumerate(names, 1)})
    other = comparison(tmp_path / "other", {name: [k / 20] for k, name in enumerate(names, 1)})
    found = transfer(one, other)
    assert found.table[1] == ("a", "10.00 (1)", "3", "5.00 (1)", "3")
    assert "one: the structures span 20.00 points; with one seed of each they cannot be told from seeds." in (
        found.remarks
    )
    assert any(
        "rho 1.00, Kendall's tau 1.00; no interval, which takes 3 seeds" in said for said in found.remarks
    )


def test_folders_of_one_name_are_told_apart(tmp_path):
    tests = {name: [k / 10] for k, name in enumerate("abc", 1)}
    for place in ("x", "y"):
        (tmp_path / place).mkdir()
        comparison(tmp_path / place / "runs", tests)
    found = transfer(tmp_path / "x" / "runs", tmp_path / "y" / "runs")
    assert found.table[0] == ("", str(tmp_path / "x" / "runs"), "rank", str(tmp_path / "y" / "runs"), "rank")


def test_what_does_not_fit_is_refused(two, tmp_path, capsys):
    first, second = two
    assert main(["analyse", "transfer", str(first), str(first)]) == 1
    assert "given twice; give comparisons on two data sets" in capsys.readouterr().err
    few = comparison(tmp_path / "few", {"a": [0.1], "b": [0.2]})
    with pytest.raises(ValueError, match=r"share 2 configurations \(a, b\); an order takes 3"):
        transfer(first, few)
    with pytest.raises(ValueError, match=r"nowhere holds no comparison: comparison.json is missing"):
        transfer(first, tmp_path / "nowhere")
    (second / "b-1" / "summary.json").unlink()
    with pytest.raises(ValueError, match=r"b-1 holds no finished run"):
        transfer(first, second)
    (few / "comparison.json").write_text('{"a": 1}')
    with pytest.raises(ValueError, match=r"comparison.json holds no rows; call `studygroup compare` again"):
        transfer(first, few)
