"""Table 7: ranks, rank correlation and what seeds alone would do, by the numbers in print and by made-up results."""

from reproduction.lab import Lab
from reproduction.reading import table_called
from reproduction.results import keep
from reproduction.show import as_markdown
from reproduction.verdicts import Verdict
from reproduction.view import view_of
from studygroup.analysis.transfer import ranks, spread_of_equals


def test_ranks_are_those_in_print():
    table = table_called("cgl-table-7")
    scores = [[table.cells["CIFAR-10, score", column].published.mean] for column in table.columns]
    in_print = [int(table.cells["CIFAR-10, rank", column].published.mean) for column in table.columns]
    assert ranks(scores) == in_print == [2, 4, 6, 5, 7, 3, 1, 7]


def test_the_note_says_what_seeds_alone_give():
    """By the deviation in print of Table 2, 0.06 and 0.07 points."""
    limits = [spread_of_equals([[-d, 0.0, d]] * 8) for d in (0.06, 0.07)]
    said = " and ".join(f"{limit:.2f}" for limit in limits)
    assert said == "0.17 and 0.20"
    assert f"{said} points" in " ".join(table_called("cgl-table-7").note.split())


def filled(lab, *, seeds, rows=("CIFAR-10, score", "CIFAR-100, score"), step=0.01):
    """Structures one better than the next on the first set, the other way round on the second."""
    table = table_called("cgl-table-7")
    for row in rows:
        for column in table.columns:
            cell = table.cells[row, column]
            key, settings = lab.key(cell), lab.config(cell) | {"data": "made_up"}
            sign = 1 if row.startswith("CIFAR-10,") else -1
            for seed in range(seeds):
                test = 0.5 + sign * step * int(column) + seed / 1000
                keep(lab.results_dir, table, cell, key, seed=seed, settings=settings, found={"test": test})
    return table, lab.found(table)


def test_structures_are_the_columns(tmp_path):
    lab, table = Lab(run_dir=tmp_path), table_called("cgl-table-7")
    for row in ("CIFAR-10, score", "CIFAR-100, score"):
        own = [lab.config(table.cells[row, column])["recipe"]["init_args"] for column in table.columns]
        assert [one["structure"] for one in own] == list(range(8))
    assert {row for row, _ in (cell.place for cell in table.runnable)} == {
        "CIFAR-10, score",
        "CIFAR-100, score",
    }


def test_ours_are_ranked_and_correlated(tmp_path):
    lab = Lab(run_dir=tmp_path)
    table, _ = filled(lab, seeds=3)
    view = view_of(table, lab)
    numbers = view.values
    assert [numbers["CIFAR-10, rank", column] for column in table.columns] == [[8 - k] for k in range(8)]
    assert [numbers["CIFAR-100, rank", column] for column in table.columns] == [[1 + k] for k in range(8)]
    said = "\n".join(view_of(table, lab).remarks())
    assert "Spearman's rho -1.00 [-1.00, -1.00], Kendall's tau -1.00 [-1.00, -1.00]; 95% over seeds" in said
    assert (
        "CIFAR-10, score: the structures span 7.00 points; as many equal ones would stay below 0.28" in said
    )
    assert (
        "structure 8, the best on CIFAR-10, score, has rank 8 of 8 on CIFAR-100, score, -3.50 points" in said
    )
    assert "Of the 3 best on CIFAR-10, score, 0 are among the 3 best on CIFAR-100, score." in said
    assert "| CIFAR-10, rank | 2 / 8 | 4 / 7 |" in as_markdown(view_of(table, lab))
    assert {claim.verdict for claim in view.claims} == {Verdict.UNTESTED}


def test_one_seed_says_little(tmp_path):
    lab = Lab(run_dir=tmp_path)
    table, _ = filled(lab, seeds=1, rows=["CIFAR-10, score"])
    said = "\n".join(view_of(table, lab).remarks())
    assert "span 7.00 points; with one seed of each they cannot be told from seeds." in said
    assert "Ranks want a run of each structure, their correlation both rows." in said
    table, _ = filled(lab, seeds=1)
    said = "\n".join(view_of(table, lab).remarks())
    assert "Spearman's rho -1.00, Kendall's tau -1.00; no interval, which takes 3 seeds" in said
    table, _ = filled(lab, seeds=1, step=0.0)
    assert "No rank correlation: the structures of a row are all equal." in view_of(table, lab).remarks()
