"""Two cells of a table on digits, in seconds."""

import json

from reproduction.command import main

SMALL = [
    "--rows=200", "--epochs=2", "--only=CIFAR-10, baseline", "--only=CIFAR-10, CGL", "--seeds=2",
    '--change={"model_options": {"width": 4}, "image_size": [8, 8], "channels_last": false, "test_rows": 60}',
]  # fmt: skip


def papers(command, folder, *more, sizes=SMALL):
    """Runs a command of `python -m reproduction` on Table 2, in a folder of runs."""
    return main([command, "cgl-table-2", *sizes, "--run_dir", str(folder), *more])


def kept(folder):
    """Results of Table 2 by cell and seed, without what a clock says."""
    cells = json.loads((folder / "results" / "cgl-table-2.json").read_text())["cells"].values()
    clocks = ("seconds", "spent", "made")
    return {
        (cell["cell"], seed): {name: _timeless(value) for name, value in run.items() if name not in clocks}
        for cell in cells
        for seed, run in cell["seeds"].items()
    }


def _timeless(value):
    """A figure without the seconds in it."""
    return {name: one for name, one in value.items() if name != "spent"} if isinstance(value, dict) else value
