"""The Trainer of a task: rows, loss, metrics, checkpoints."""

import pytest
import torch
from torch import nn

import studygroup as sg

transformers = pytest.importorskip("transformers", reason="what is integrated")
pytest.importorskip("accelerate", reason="the Trainer is built on accelerate")
from studygroup.integrations.transformers import StudyTrainer  # noqa: E402

ROWS = 24


def make() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


TASKS = {
    "cgl": lambda: sg.recipes.cgl(make(), layers=["0", "2"], students=4, init=make),
    "dml": lambda: sg.recipes.dml(make(), students=2, init=make),
}


@pytest.fixture
def rows():
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(ROWS, 6, generator=draw), torch.randint(3, (ROWS,), generator=draw)
    return [{"input": x[k], "labels": y[k], "name": f"row {k}"} for k in range(ROWS)]


def trainer(name, folder, rows, *, seed=0, steps=4, **options):
    torch.manual_seed(seed)
    task = TASKS[name]()
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        save_steps=2,
        per_device_train_batch_size=3 if name == "cgl" else 8,
        use_cpu=True,
        report_to=[],
        logging_strategy="no",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    return StudyTrainer(task, arguments, train_dataset=rows, eval_dataset=rows, **options)


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_a_run_resumes_exactly(name, rows, tmp_path):
    whole = trainer(name, tmp_path, rows)
    start = {key: value.clone() for key, value in whole.model.state_dict().items()}
    whole.train()
    assert whole.model.step == 4
    ended = whole.model.state_dict()
    assert any(not torch.equal(value, start[key]) for key, value in ended.items() if "weight" in key)
    resumed = trainer(name, tmp_path, rows, seed=1)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert all(torch.equal(value, ended[key]) for key, value in resumed.model.state_dict().items())


@pytest.mark.parametrize("name", TASKS)
def test_metrics_are_those_of_the_exported_networks(name, rows, tmp_path):
    run = trainer(name, tmp_path, rows)
    found = run.evaluate()
    x, y = (torch.stack([row[key] for row in rows]) for key in ("input", "labels"))
    networks = [run.model.shipped.export(k).eval() for k in range(run.model.group.students)]
    shares = [(network(x).argmax(1) == y).double().mean().item() for network in networks]
    assert [found[f"eval_student_{k}_accuracy"] for k in range(len(shares))] == pytest.approx(shares)
    assert found["eval_student"] == shares.index(max(shares))
    assert found["eval_accuracy"] == pytest.approx(max(shares))
    assert found["eval_students_mean_accuracy"] == pytest.approx(sum(shares) / len(shares))
    mean = torch.stack([network(x).softmax(1) for network in networks]).mean(0)
    assert found["eval_ensemble_accuracy"] == pytest.approx((mean.argmax(1) == y).double().mean().item())
    losses = [nn.functional.cross_entropy(network(x), y).item() for network in networks]
    assert found["eval_loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-4)
    assert run.predict(rows).predictions.shape == (ROWS, len(shares), 3)


def test_metrics_of_ones_own_see_one_student_after_another(rows, tmp_path):
    def first(found):
        assert found.predictions.shape == (ROWS, 3)
        return {"first": float(found.predictions[0, 0]), "note": "text"}

    run = trainer("dml", tmp_path, rows, compute_metrics=first)
    found = run.evaluate()
    x = rows[0]["input"].unsqueeze(0)
    for k in range(2):
        expected = run.model.shipped.export(k).eval()(x)[0, 0].item()
        assert found[f"eval_student_{k}_first"] == pytest.approx(expected, abs=1e-5)
    assert found["eval_note"] == "text"


def test_a_training_step_has_the_loss_of_the_task(rows, tmp_path):
    run = trainer("cgl", tmp_path, rows)
    batch = next(iter(run.get_train_dataloader()))
    assert sorted(batch) == ["input", "labels", "owner"]
    other = TASKS["cgl"]()
    other.load_state_dict(run.model.state_dict())
    expected = other(batch["input"], batch["labels"], owner=batch["owner"], progress=0.0).total
    run.state.max_steps = 4
    assert torch.equal(run.compute_loss(run.model, dict(batch)), expected)


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")  # a later name says the same
def test_what_would_be_another_loss_is_refused(tmp_path, unchecked):
    with pytest.raises(TypeError, match="the model is a Sequential; hand in a task"):
        StudyTrainer(make())
    arguments = transformers.TrainingArguments(str(tmp_path), use_cpu=True, label_smoothing_factor=0.1)
    with pytest.raises(ValueError, match="the Trainer would compute a loss of its own"):
        StudyTrainer(TASKS["dml"](), arguments)
    turns = sg.recipes.dml(make(), students=2, init=make, in_turn=True)
    with pytest.raises(ValueError, match="in_turn=False"):
        StudyTrainer(turns, transformers.TrainingArguments(str(tmp_path), use_cpu=True))
    arguments = transformers.TrainingArguments(str(tmp_path), use_cpu=True, gradient_checkpointing=True)
    with pytest.raises(
        ValueError, match=r"_checkpointing=True is for a network.* before the recipe takes it"
    ):
        StudyTrainer(TASKS["dml"](), arguments)
