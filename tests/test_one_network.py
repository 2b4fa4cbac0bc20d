"""The tables of one network out of the ensemble are what was measured."""

from pathlib import Path

from reproduction.benchmarks.one_network import CELLS, tables

RESULTS = (Path(__file__).parent.parent / "reproduction" / "RESULTS.md").read_text()


def test_the_tables_are_those_of_the_finished_runs() -> None:
    lines = [line for table in tables().values() for line in table.splitlines()]
    assert len(lines) > 20
    assert [line for line in lines if line not in RESULTS] == []


def test_a_greedy_soup_of_networks_that_start_apart_is_the_best_student() -> None:
    known = CELLS.known()
    for regime in tables():
        soup, best = (known[f"{regime} | apart, {name}"] for name in ("greedy soup", "best student"))
        alone = [seed for seed, run in soup.items() if run["in_soup"] == 1]
        assert alone
        assert all(soup[seed]["shipped"] == best[seed]["shipped"] for seed in alone)
