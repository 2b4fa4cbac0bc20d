"""Processes that divide each step end with the weights of one process, to the last digits of double precision."""

from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp

from helpers.part_ranks import METHODS, learn, sharded, work

# pull and push compares the rows of a batch with one another, and in turn is for the trainer's loop
WHOLE = sorted(set(METHODS) - {"intra_pull_push", "dml_in_turn", "cgl_two_passes", "cgl_constant_peers"})


def compare(folder: Path, ranks: int, cases) -> None:
    mp.spawn(work, (str(folder), ranks, tuple(cases)), nprocs=ranks)
    for name, divide in cases:
        state, totals = torch.load(folder / f"{name}-{divide}.pt")
        expected, of_one = learn(name)
        assert state.keys() == expected.keys()
        assert len(state) > 20
        worst = max(
            (float((state[key] - value).abs().max()), key) for key, value in expected.items() if value.numel()
        )
        print(f"{name} by {divide} on {ranks}: {worst[0]:.1e} in {worst[1]}")
        # twenty steps of a solver for the teacher's weights magnify the last digit of a sum
        assert worst[0] < (1e-8 if name == "kdcl_linear" else 1e-11), (name, divide, worst)
        torch.testing.assert_close(
            torch.tensor(totals, dtype=torch.float64).mean(0),
            torch.tensor(of_one, dtype=torch.float64),
            rtol=1e-9 if name == "kdcl_linear" else 1e-11,
            atol=1e-12,
        )


@pytest.mark.slow
def test_two_processes_by_students_and_by_rows(tmp_path):
    """With batch norms in modules that students of both share; one student absent in one step, a row more in one."""
    compare(tmp_path, 2, [("cgl", "students"), ("one", "rows")])


@pytest.mark.long
def test_every_recipe_on_two_processes(tmp_path):
    compare(tmp_path, 2, [(name, "rows") for name in WHOLE])


@pytest.mark.long
@pytest.mark.parametrize("ranks", [3, 4])
def test_students_that_are_no_multiple_of_the_processes(tmp_path, ranks):
    compare(tmp_path, ranks, [("cgl", "students"), ("cgl", "rows"), ("kdcl_general", "rows")])


@pytest.mark.long
def test_sharded_on_two_processes(tmp_path):
    """FSDP2: parameters, gradients and the optimiser's state in halves; a network without batch norms."""
    mp.spawn(sharded, (str(tmp_path), 2), nprocs=2)
    state, expected = torch.load(tmp_path / "sharded.pt")
    assert state.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(state[key], value, rtol=1e-11, atol=1e-12)
