"""`studygroup report`: one page of a comparison and of a single run."""

import builtins
import json
import re
import shutil
import statistics

import pytest
import yaml

from helpers.small_run import small
from studygroup.analysis.intervals import half_width
from studygroup.cli import main
from studygroup.report import report
from studygroup.report.comparisons import comparison
from studygroup.report.marks import Mark
from studygroup.training import RunFolder, compare

pytestmark = pytest.mark.slow  # whole runs


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A comparison of the plain network with CGL, three seeds each."""
    folder = tmp_path_factory.mktemp("compared")
    for name in ("cgl", "plain"):
        config = small(epochs=1).config() | ({"recipe": "baseline"} if name == "plain" else {})
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
    configs = [str(folder / f"{name}.yaml") for name in ("plain", "cgl")]
    rows = compare(configs, seeds=[0, 1, 2], run_dir=str(folder / "compare"), progress_bar=False)
    return folder / "compare", rows


def test_a_comparison_has_means_deviations_and_a_mark(compared):
    folder, rows = compared
    found = comparison(folder)
    assert found.baseline == "plain"
    assert [row[0] for row in found.rows] == ["plain", "cgl"]
    for cells, row in zip(found.rows, rows, strict=True):
        at = found.head.index("test, shipped")
        assert cells[at] == f"{100 * row['test']:.2f} ± {100 * row['test_std']:.2f}"
        assert cells[found.head.index("n")] == "3"
    assert found.marks[0] is Mark.NONE
    assert found.marks[1] is not Mark.NONE  # three seeds are told apart, or not
    assert [view.name for view in found.views] == ["epochs", "updates", "seconds"]
    (plot,) = found.views[0].plots
    ends = [statistics.fmean(_ends(folder, name)) for name in ("plain", "cgl")]
    assert plot.words == "Hold-out accuracy over epochs. " + "; ".join(
        f"{name} ends at {100 * end:.1f}" for name, end in zip(("plain", "cgl"), ends, strict=True)
    ) + "."  # fmt: skip


def test_a_comparison_has_a_point_a_configuration_of_error_and_cost(compared):
    folder, rows = compared
    (plot,) = comparison(folder).costs
    said = []
    for row in rows:
        runs = [RunFolder(folder / f"{row['name']}-{seed}").read_summary() for seed in range(3)]
        reach = half_width([100 * run.shipped.test for run in runs])
        seconds = statistics.fmean(run.run.training_seconds for run in runs)
        said.append(f"{row['name']}: {100 - 100 * row['test']:.2f} ± {reach:.2f} at {seconds:.4g}")
    assert plot.words == f"Test error of the shipped student against seconds of training. {'; '.join(said)}."


def test_where_seconds_are_not_known_cost_is_counted_in_updates(compared, tmp_path):
    folder, rows = compared
    copy = shutil.copytree(folder, tmp_path / "copy")
    path = copy / "cgl-1" / "summary.json"
    content = json.loads(path.read_text())
    content["run"]["training_seconds"] = 0.0
    path.write_text(json.dumps(content))
    (plot,) = comparison(copy).costs
    assert plot.words.startswith("Test error of the shipped student against updates x step cost. plain: ")
    counted = [f"at {row['updates'] * row['step_cost']:.4g}" for row in rows]
    assert re.findall(r"at [^;]*(?=;|\.$)", plot.words) == counted


def _ends(folder, name):
    """Hold-out accuracy of the students after the last epoch, by seed."""
    for seed in range(3):
        head, *_, last = (folder / f"{name}-{seed}" / "metrics.csv").read_text().splitlines()
        yield float(last.split(",")[head.split(",").index("holdout_mean")])


def test_a_comparison_and_a_run_stand_in_one_page(compared, tmp_path, capsys):
    folder, _ = compared
    out = tmp_path / "page.html"
    assert main(["report", str(folder), str(folder / "cgl-0"), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"wrote {out}\n"
    text = out.read_text(encoding="utf-8")
    assert '<h2 id="compare-1">Comparison compare</h2>' in text
    assert '<section aria-label="cgl on digits" id="run-1">\n<h2>cgl on digits</h2>' in text
    assert "<code>studygroup report</code>" in text
    assert text.count("<tbody>") == 5  # the comparison; the run's scores, two tables by class, and versions
    assert not re.search(r'src=|href="(?!#)|url\((?!#)|@import|<script', text)


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no results; give a folder that `studygroup compare` wrote"):
        report([str(tmp_path)])
    with pytest.raises(ValueError, match="is a folder; give the name of a file with --out"):
        report([str(tmp_path)], out=str(tmp_path))
    with pytest.raises(ValueError, match="no folder was given"):
        report([])


def test_a_runs_own_report_is_not_overwritten(tmp_path):
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(ValueError, match="is the report of the run there"):
        report([str(tmp_path / "baseline")])


def test_a_missing_package_is_told_with_the_way_to_get_it(compared, tmp_path, monkeypatch):
    load = builtins.__import__

    def without(name, *more):
        if name == "studygroup.report.page":
            raise ModuleNotFoundError("No module named 'jinja2'")
        return load(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r"No module named 'jinja2'.*pip install 'studygroup\[report\]'"):
        report([str(compared[0])], out=str(tmp_path / "page.html"))
