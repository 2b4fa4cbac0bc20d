import runpy
from pathlib import Path


def test_a_loop_of_ones_own_trains_and_ships():
    example = Path(__file__).parent.parent / "examples" / "own_loop.py"
    assert runpy.run_path(str(example))["main"](epochs=12) > 0.8  # chance is 0.1
