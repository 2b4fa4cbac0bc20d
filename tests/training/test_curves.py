import csv
import shutil
from dataclasses import replace

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from helpers.summaries import summary
from studygroup.training.curves import Curves, no_tracebacks, results, tags
from studygroup.training.folder import FolderGoneError, RunFolder
from studygroup.training.history import EpochRow

ROW = EpochRow(
    epoch=1, updates=8, seconds=1.0, rows_per_second=9.0, lr=0.1, imitation_weight=0.5, loss=1.0,
    supervised=(1.0, 2.0), imitation=(0.0, 3.0), holdout=(0.6, 0.8), ensemble=0.9, diversity=0.2, disagreement=0.1,
    objectives={"features": 4.0}, teachers={"weight_0": 0.3},
)  # fmt: skip


def test_figures_stand_in_groups():
    assert tags(ROW) == {
        "holdout/mean": pytest.approx(0.7), "holdout/best": 0.8, "holdout/0": 0.6, "holdout/1": 0.8,
        "holdout/ensemble": 0.9, "holdout/diversity": 0.2, "holdout/disagreement": 0.1,
        "loss/total": 1.0, "loss/supervised/0": 1.0, "loss/supervised/1": 2.0, "loss/imitation/0": 0.0,
        "loss/imitation/1": 3.0, "loss/objective/features": 4.0,
        "train/lr": 0.1, "train/imitation_weight": 0.5, "train/updates": 8, "train/seconds": 1.0,
        "train/rows_per_second": 9.0, "teachers/weight_0": 0.3,
    }  # fmt: skip
    texts = tags(replace(ROW, cpu_seconds=2.0, tokens_per_second=5.0, padding=0.25))
    more = {name: value for name, value in texts.items() if name not in tags(ROW)}
    assert more == {"train/cpu_seconds": 2.0, "train/tokens_per_second": 5.0, "train/padding": 0.25}


def test_a_run_folder_that_is_gone_is_told_before_what_could_not_be_written(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.write_config({"seed": 0})
    curves = Curves(folder.path, start=0)

    def go_on():
        for step in range(2, 50):
            curves.log_metrics({"loss/total": 1.0}, step=step)
            curves.save()

    with no_tracebacks():
        for step in (0, 1):  # the writing thread puts the first on disk at once, and is done by the second
            curves.log_metrics({"loss/total": 1.0}, step=step)
            curves.save()
        shutil.rmtree(folder.path)
        with pytest.raises(FolderGoneError, match=r"config\.yaml is gone: the run folder was removed"):
            go_on()
    assert not folder.path.exists()


def test_every_figure_of_a_row_has_a_name():
    whole = replace(ROW, cpu_seconds=2.0, tokens_per_second=5.0, padding=0.25)
    assert len(tags(whole)) == len(whole.columns()) - 1  # the epoch is the step


def test_a_plain_network_is_among_the_results_where_there_is_one():
    both, alone = results(summary()), results(summary(baseline=None))
    assert both == {**alone, "test/baseline": 0.45}
    assert alone == {
        "test/shipped": 0.5, "test/shipped_top5": 0.75, "test/students_mean": 0.375, "test/ensemble": 0.55,
        "holdout/shipped": 0.4, "train/seconds_in_all": 1.5,
    }  # fmt: skip


@pytest.mark.slow
def test_tensorboard_reads_curves_settings_and_results_back(finished):
    for folder in (finished.folder, finished.folder.baseline):
        events = EventAccumulator(str(folder.path / "tensorboard")).Reload()
        with folder.metrics.open(newline="") as file:
            rows = list(csv.DictReader(file))
        told, columns = events.Scalars("holdout/0"), [float(row["holdout_0"]) for row in rows]
        assert [one.step for one in told] == [1, 2, 3]
        assert [one.value for one in told] == pytest.approx(columns)
        (shipped,) = events.Scalars("test/shipped")
        assert shipped.step == 3
        assert shipped.value == pytest.approx(folder.read_summary().shipped.test)
        plugin = events.PluginTagToContent(metadata.PLUGIN_NAME)
        started = metadata.parse_session_start_info_plugin_data(plugin[metadata.SESSION_START_INFO_TAG])
        assert started.hparams["epochs"].number_value == 3
        assert started.hparams["model_options/width"].number_value == 4
        shown = metadata.parse_experiment_plugin_data(plugin[metadata.EXPERIMENT_TAG])
        assert {one.name.tag for one in shown.metric_infos} == set(results(folder.read_summary()))
        ended = metadata.parse_session_end_info_plugin_data(plugin[metadata.SESSION_END_INFO_TAG])
        assert ended.status == 1  # success
