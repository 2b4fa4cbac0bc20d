"""Label noise in a run: what is learnt from, what is scored, what is said."""

import dataclasses

import pytest
import torch

from helpers.small_run import small, whole_and_resumed
from studygroup.cli import main
from studygroup.data import HumanNoise, SharedBatches, SymmetricNoise, clean
from studygroup.report import run_report
from studygroup.seeding import derive
from studygroup.training import Settings, evaluate, methods, train
from studygroup.training.describe import describe_noise, describe_run
from studygroup.training.module import StudyModule
from studygroup.training.scores import accuracy

HALF = SymmetricNoise(rate=0.5)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """A finished run with noise, its baseline beside it."""
    folder = tmp_path_factory.mktemp("noisy") / "run"
    return train(small(noise=HALF, baseline=True, epochs=2), run_dir=folder, progress_bar=False)


@pytest.mark.slow
def test_students_learn_from_the_epochs_labels(tmp_path, monkeypatch):
    seen, step = {}, StudyModule.training_step

    def watched(self, batch, batch_idx):
        seen.setdefault(self.current_epoch, []).append(batch.labels.clone())
        return step(self, batch, batch_idx)

    monkeypatch.setattr(StudyModule, "training_step", watched)
    settings = small(noise=HALF, recipe=methods.baseline, seed=4)
    train(settings, run_dir=tmp_path / "run", progress_bar=False)
    data = settings.load_data()
    order = SharedBatches(160, batch_size=20, seed=derive(4, "order"))
    for epoch in range(3):
        order.set_epoch(epoch)
        rows = torch.cat([draw.rows for draw in order])
        assert torch.equal(torch.cat(seen[epoch]), data.training_labels(epoch)[rows])


@pytest.mark.slow
def test_a_run_that_goes_on_learns_from_the_labels_it_would_have_had(tmp_path):
    settings = small(noise=HALF, recipe=methods.baseline, epochs=2)
    whole, again = whole_and_resumed(settings, tmp_path)
    assert again.folder.weights.read_bytes() == whole.folder.weights.read_bytes()
    plain = train(dataclasses.replace(settings, noise=clean), run_dir=tmp_path / "plain", progress_bar=False)
    assert plain.folder.weights.read_bytes() != whole.folder.weights.read_bytes()


@pytest.mark.slow
def test_the_summary_counts_the_wrong_labels(noisy):
    data, noise = small(noise=HALF).load_data(), noisy.summary.noise
    assert noise.name == "SymmetricNoise"
    assert noise.options == {"rate": 0.5, "redraw": True}
    assert noise.redrawn is True
    assert noise.wrong_training_labels == int((data.training_labels(0) != data.train.labels).sum())
    assert 50 < noise.wrong_training_labels <= 80  # 80 of 160 are drawn, a tenth of them right by chance
    assert noise.wrong_holdout_labels == int((data.holdout.labels != data.holdout_truth.labels).sum())
    assert 0 < noise.wrong_holdout_labels <= 20


@pytest.mark.slow
def test_the_baseline_beside_has_the_same_noise(noisy, tmp_path):
    assert noisy.folder.baseline.read_summary().noise == noisy.summary.noise
    alone = train(
        small(noise=HALF, recipe=methods.baseline, epochs=2), run_dir=tmp_path / "run", progress_bar=False
    )
    assert alone.folder.weights.read_bytes() == noisy.folder.baseline.weights.read_bytes()


@pytest.mark.slow
def test_the_holdout_is_scored_with_its_noise_and_the_test_rows_without(noisy):
    found = evaluate(noisy.folder.path)
    assert found["holdout"] == noisy.summary.shipped.holdout
    assert found["test"] == noisy.summary.shipped.test
    data, cpu = small().load_data(), torch.device("cpu")
    datamodule, net = small().build_datamodule(data), noisy.load()
    assert accuracy(net, datamodule.evaluation_batches(data.test, cpu)) == found["test"]
    assert accuracy(net, datamodule.evaluation_batches(data.holdout, cpu)) != found["holdout"]


@pytest.mark.slow
def test_terminal_report_and_card_tell_the_noise(noisy):
    said = describe_noise(noisy.summary)
    wrong = noisy.summary.noise
    assert said == (
        "Label noise: SymmetricNoise(rate=0.5, redraw=True). "
        f"{wrong.wrong_training_labels} of 160 training labels are wrong in the first epoch, and noisy ones are "
        f"drawn anew in every epoch. {wrong.wrong_holdout_labels} of 40 hold-out labels are wrong, the same in "
        "all epochs. Test labels are the true ones."
    )
    for text in (
        describe_run(noisy.folder, noisy.summary, finished_before=False),
        run_report(noisy.folder).read_text(),
        noisy.folder.card.read_text(),
    ):
        assert said in text


@pytest.mark.slow
def test_clean_runs_say_nothing_of_noise(finished):
    assert finished.summary.noise is None
    for text in (
        describe_run(finished.folder, finished.summary, finished_before=False),
        run_report(finished.folder).read_text(),
        finished.folder.card.read_text(),
    ):
        assert "Label noise" not in text


@pytest.mark.slow
def test_a_clean_holdout_and_labels_drawn_once_are_told(tmp_path):
    fixed = SymmetricNoise(rate=0.3, redraw=False)
    settings = small(noise=fixed, holdout_noise=False, epochs=1)
    result = train(settings, run_dir=tmp_path / "run", progress_bar=False)
    said = describe_noise(result.summary)
    assert result.summary.noise.wrong_holdout_labels == 0
    assert "training labels are wrong. Hold-out and test labels are the true ones." in said
    assert evaluate(tmp_path / "run")["holdout"] == result.summary.shipped.holdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "noise", [SymmetricNoise(rate=0.2), HumanNoise(path="labels", column="said", clean_column="true")]
)
def test_a_configuration_keeps_the_noise(noise):
    config = small(noise=noise, holdout_noise=False).config()
    again = Settings.from_config(config)
    assert (again.noise, again.holdout_noise) == (noise, False)
    assert again.config() == config


@pytest.mark.slow
def test_the_command_line_names_a_noise(tmp_path, capsys):
    run = tmp_path / "run"
    options = ["--recipe=baseline", "--train_rows=200", "--test_rows=50", "--epochs=1", "--accelerator=cpu"]
    noise = ["--noise=studygroup.data.SymmetricNoise", "--noise.rate=0.4", "--model_options.width=4"]
    assert main(["train", *options, *noise, "--run_dir", str(run), "--progress_bar=false"]) == 0
    assert "Label noise: SymmetricNoise(rate=0.4, redraw=True)" in capsys.readouterr().out
    assert main(["train", *options, *noise, "--noise.rate=2", "--run_dir=x"]) == 1
    assert "the noise rate is 2.0" in capsys.readouterr().err


@pytest.mark.slow
def test_noise_that_does_not_fit_leaves_no_folder(tmp_path):
    with pytest.raises(ValueError, match="noise rate is -1"):
        train(small(noise=SymmetricNoise(rate=-1)), run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()
