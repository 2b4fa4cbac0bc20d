import runpy
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent.parent / "examples" / "own_loop.py"


def test_a_loop_of_ones_own_trains_and_ships(capsys):
    found = runpy.run_path(str(EXAMPLE))["main"](epochs=10)
    assert min(found.values()) > 0.6  # chance is 0.1
    said = capsys.readouterr().out
    for name in ("shipped", "plain", "students_mean", "ensemble"):
        assert f"{found[name]:.1%}" in said


def test_its_rows_overlap_nowhere_and_its_test_rows_are_the_same_for_every_seed():
    digits = runpy.run_path(str(EXAMPLE))["digits"]
    first, second = digits(0), digits(1)
    assert {name: len(y) for name, (_, y) in first.items()} == {
        "train": 100,
        "hold-out": 50,
        "unused": 750,
        "test": 897,
    }
    rows = [tuple(row) for x, _ in first.values() for row in x.tolist()]
    assert len(set(rows)) == len(rows) == 1797
    assert (first["test"][0] == second["test"][0]).all()
    assert not (first["train"][0] == second["train"][0]).all()


@pytest.mark.slow
def test_what_ships_is_as_good_as_was_measured():
    found = runpy.run_path(str(EXAMPLE))["main"]()
    assert found["shipped"] > 0.80
