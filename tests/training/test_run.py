import dataclasses
import functools

import pytest
import torch

from helpers.made_up import table
from helpers.small_run import small
from studygroup import models
from studygroup.data import ArrowSplit
from studygroup.training import (
    ConfigurationChangedError,
    FolderTakenError,
    NonFiniteLossError,
    Settings,
    UnreadableCheckpointWarning,
    methods,
    train,
)
from studygroup.training.checkpoints import saved
from studygroup.training.history import read_history
from studygroup.training.scores import accuracy

pytestmark = pytest.mark.slow  # whole runs


def test_the_folder_holds_everything(finished):
    names = {path.name for path in finished.folder.path.iterdir()} - {
        ".lock",
        "export",
        "report.html",
    }  # which other tests write
    assert names == {
        "README.md",
        "baseline",
        "checkpoints",
        "config.yaml",
        "confusion.csv",
        "metrics.csv",
        "provenance.json",
        "routes.json",
        "student.safetensors",
        "summary.json",
        "tensorboard",
    }
    assert names - {"baseline"} == {path.name for path in finished.folder.baseline.path.iterdir()}
    assert [path.name for path in saved(finished.folder.checkpoints)] == [
        "epoch-0003.ckpt",
        "epoch-0002.ckpt",
    ]


def test_the_shipped_file_scores_what_the_summary_says(finished):
    summary = finished.folder.read_summary()
    settings = Settings.from_config(finished.folder.read_config())
    data = settings.load_data()
    net, datamodule = finished.load(), settings.build_datamodule(data)
    cpu = torch.device("cpu")
    assert accuracy(net, datamodule.evaluation_batches(data.test, cpu)) == summary.shipped.test
    assert accuracy(net, datamodule.evaluation_batches(data.holdout, cpu)) == summary.shipped.holdout
    assert summary.shipped.test == summary.test.students[summary.shipped.student]
    shipped = summary.shipped.student
    assert summary.shipped.test_top5 == summary.test.students_top5[shipped]
    assert summary.test.mean_top5 == pytest.approx(sum(summary.test.students_top5) / 3)
    assert summary.baseline.test_top5 == finished.folder.baseline.read_summary().shipped.test_top5
    assert summary.test.rows == 60
    plain = models.build("cifar_resnet18", classes=10, channels=1, width=4)
    assert list(net.state_dict()) == list(plain.state_dict())
    assert type(net) is type(plain)


def test_the_lines_on_the_card_load_it(finished):
    card = finished.folder.card.read_text()
    lines = card.split("```python\n")[1].split("\n```")[0]
    assert len(lines.splitlines()) == 3
    names = {}
    exec(lines, names)
    x = torch.rand(5, 1, 8, 8)
    assert torch.equal(names["net"](x), finished.load()(x))


def test_one_row_an_epoch_with_what_was_promised(finished):
    rows = read_history(finished.folder.metrics)
    assert [row.epoch for row in rows] == [1, 2, 3]
    # 160 rows for 3 students: 54, 53, 53 in batches of 20, so 3 updates an epoch; 8 for the baseline
    assert [row.updates for row in rows] == [3, 6, 9]
    assert [row.updates for row in read_history(finished.folder.baseline.metrics)] == [8, 16, 24]
    for row in rows:
        students = row.holdout
        assert len(students) == 3
        assert row.holdout_mean == pytest.approx(sum(students) / 3)
        assert row.holdout_best == max(students)
        assert row.diversity > 0
        assert len(row.imitation) == 3
        assert all(loss > 0 for loss in row.supervised)
    # progress is epoch / epochs: 0, 1/3, 2/3, and the ramp of the paper's first 20 % begins at exp(-5)
    assert [row.imitation_weight for row in rows] == pytest.approx([0.006737947, 1, 1])


def test_the_best_at_the_last_epoch_ships(finished):
    last = read_history(finished.folder.metrics)[-1]
    students = last.holdout
    shipped = finished.summary.shipped
    assert (shipped.student, shipped.epoch) == (students.index(max(students)), 3)


def test_the_best_over_epochs_ships_its_own_weights(tmp_path):
    result = train(small(select="best", epochs=4), run_dir=tmp_path / "run", progress_bar=False)
    rows, shipped = read_history(result.folder.metrics), result.summary.shipped
    best = max(row.holdout_best for row in rows)
    first = next(row.epoch for row in rows if row.holdout_best == best)
    assert (shipped.holdout, shipped.epoch) == (best, first)
    data = small().load_data()
    datamodule = small().build_datamodule(data)
    assert accuracy(result.load(), datamodule.evaluation_batches(data.holdout, torch.device("cpu"))) == best


def test_reestimated_statistics_are_scored_and_shipped(tmp_path):
    result = train(small(reestimate_bn=True), run_dir=tmp_path / "run", progress_bar=False)
    assert result.summary.shipped.reestimated_bn is True
    settings = small()
    data, cpu = settings.load_data(), torch.device("cpu")
    net, datamodule = result.load(), settings.build_datamodule(data)
    assert accuracy(net, datamodule.evaluation_batches(data.test, cpu)) == result.summary.shipped.test
    # the stem's statistics are those of the training rows, batch by batch
    images = datamodule.inputs(data.train[torch.arange(len(data.train))][0])
    mean = net.conv1(images).mean((0, 2, 3)).detach()
    assert torch.allclose(net.bn1.running_mean, mean, atol=0.05 * float(mean.abs().max()))


def test_a_taken_folder_is_not_overwritten(finished):
    with pytest.raises(FolderTakenError, match="--resume"):
        train(small(baseline=True), run_dir=finished.folder.path)


def test_a_finished_run_resumed_does_nothing(finished):
    before = finished.folder.weights.stat().st_mtime_ns
    again = train(small(baseline=True), run_dir=finished.folder.path, resume=True)
    assert again.resumed_finished
    assert again.summary == finished.summary
    assert finished.folder.weights.stat().st_mtime_ns == before


def test_another_configuration_is_refused_by_the_names_of_its_keys(finished):
    with pytest.raises(
        ConfigurationChangedError, match=r"batch_size: 20 there, 10 now; seed: 0 there, 1 now"
    ):
        train(small(baseline=True, batch_size=10, seed=1), run_dir=finished.folder.path, resume=True)


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path):
    train(small(epochs=1), run_dir=tmp_path / "run", progress_bar=False)
    for name in ("summary.json", "config.yaml"):
        (tmp_path / "run" / name).unlink()
    with pytest.raises(ConfigurationChangedError, match=r"epoch-0001\.ckpt .*epochs: 1 there, 2 now"):
        train(small(epochs=2), run_dir=tmp_path / "run", resume=True, progress_bar=False)


def test_a_run_goes_on_from_the_checkpoint_before_a_truncated_one(tmp_path):
    settings = small(epochs=3, select="best")
    whole = train(settings, run_dir=tmp_path / "whole", progress_bar=False)
    cut = train(settings, run_dir=tmp_path / "cut", progress_bar=False)
    cut.folder.summary.unlink()
    newest = saved(cut.folder.checkpoints)[0]
    newest.write_bytes(newest.read_bytes()[:1000])
    with pytest.warns(UnreadableCheckpointWarning, match=r"epoch-0003\.ckpt"):
        again = train(settings, run_dir=cut.folder.path, resume=True, progress_bar=False)
    assert again.folder.weights.read_bytes() == whole.folder.weights.read_bytes()
    assert _without_time(again.folder.metrics) == _without_time(whole.folder.metrics)


def _without_time(path):
    slow = ("seconds", "cpu_seconds", "rows_per_second")
    return [{k: v for k, v in row.columns().items() if k not in slow} for row in read_history(path)]


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_what_was_done(tmp_path):
    settings = small(optimizer=functools.partial(torch.optim.SGD, lr=1e30), progress="step")
    with pytest.raises(
        NonFiniteLossError, match=r"update 2 \(epoch 1\); no epoch was finished.*learning rate"
    ):
        train(settings, run_dir=tmp_path / "run", progress_bar=False)
    assert not (tmp_path / "run" / "summary.json").exists()


def test_rows_must_be_held_out_to_choose_by(tmp_path):
    with pytest.raises(ValueError, match="holdout=0 leaves no rows"):
        train(small(holdout=0), run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_memory_map_gives_the_same_network_as_memory(tmp_path):
    labels = [i % 2 for i in range(60)]
    for name, start in (("train", 0), ("test", 100)):
        table(labels, start=start, size=(8, 8)).to_parquet(tmp_path / f"{name}.parquet")
    weights = []
    for number, bytes_ in enumerate((2**30, 0)):
        settings = small(
            data=str(tmp_path), in_memory_bytes=bytes_, holdout=10, train_rows=None, test_rows=None
        )
        data = settings.load_data()
        assert isinstance(data.train, ArrowSplit) == (number == 1)
        assert settings.build_datamodule(data).workers == 2 * number
        weights.append(
            train(settings, run_dir=tmp_path / str(number), progress_bar=False).load().state_dict()
        )
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())


def test_settings_that_fit_nothing_leave_no_folder_behind(tmp_path):
    wrong = Settings(recipe=functools.partial(methods.cgl, students=0), model_options={"width": 8})
    with pytest.raises(ValueError, match="students is 0; give a whole number, at least 1"):
        train(wrong, run_dir=tmp_path / "run", progress_bar=False)
    assert not (tmp_path / "run").exists()


def test_the_baseline_beside_is_the_baseline_alone(finished, tmp_path):
    alone = train(
        dataclasses.replace(small(), recipe=methods.baseline), run_dir=tmp_path / "run", progress_bar=False
    )
    assert alone.folder.weights.read_bytes() == finished.folder.baseline.weights.read_bytes()
    assert alone.summary.shipped.test == finished.summary.baseline.test
    assert alone.summary.cost is None


def test_cost_counts_parameters_and_the_same_images(finished):
    cost = finished.summary.cost
    assert cost.images == 60
    assert cost.parameters > cost.baseline_parameters > 0
    assert cost.bytes > 0


@pytest.mark.parametrize("name", ["dml", "one", "okddip", "cl_ilr", "multi_instance"])
def test_methods_whose_students_share_their_rows_run_as_well(tmp_path, name):
    settings = Settings.from_config(small(epochs=1).config() | {"recipe": name})
    result = train(settings, run_dir=tmp_path / "run", progress_bar=False)
    students = result.summary.run.students
    assert students == len(result.summary.test.students) > 1
    assert result.summary.run.updates == 8  # 160 rows, 20 a step, for all students
