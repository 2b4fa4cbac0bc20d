"""Names of analysed runs on one page."""

import json

from studygroup.report.analyses import of_folders
from studygroup.report.sources import Folders
from studygroup.training.folder import RunFolder


def analysed(folder, name, accuracy):
    path = folder / name / "analyses"
    path.mkdir(parents=True)
    (path / "flatness.json").write_text(json.dumps({"settings": {}, "accuracy": accuracy}))
    return folder


def test_equal_names_in_two_folders_are_two_rows(tmp_path):
    """Two data sets in two comparisons must not be averaged."""
    first, second = (
        analysed(tmp_path / f"on_{name}", "dml-0", value) for name, value in (("a", 1), ("b", 2))
    )
    analysed(second, "dml-1", 3)
    runs = [
        RunFolder(analysed(tmp_path / name, "run", value) / "run") for name, value in (("x", 4), ("y", 5))
    ]
    found = of_folders(Folders(comparisons=[first, second], runs=runs))
    values = {name: [one["flatness"]["accuracy"] for one in own] for name, own in found.items()}
    assert values == {"x/run": [4], "y/run": [5], "on_a/dml": [1], "on_b/dml": [2, 3]}
    assert list(of_folders(Folders(comparisons=[first], runs=runs[:1]))) == ["run", "dml"]
