"""Tasks and groups with the libraries around torch that save, average, shard and resume."""

import copy

import pytest
import torch
import torch.distributed as dist
from torch import nn

import studygroup as sg

pytestmark = pytest.mark.slow  # whole runs

ROWS = 8


def make() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def batch(number: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(number)
    return torch.randn(ROWS, 6, generator=draw), torch.randint(3, (ROWS,), generator=draw)


BRANCH = {"layers": ["3"], "example": batch()[0], "init": make}
TASKS = {
    "cgl": lambda: sg.recipes.cgl(make(), layers=[("0", "1"), "3"], students=4, init=make),
    "dml": lambda: sg.recipes.dml(make(), students=2, init=make),
    "dml of peers": lambda: sg.recipes.dml(sg.Peers([make(), make()])),
    "kdcl": lambda: sg.recipes.kdcl(make(), teacher=sg.teachers.GeneralTeacher, init=make),
    "one": lambda: sg.recipes.one(make(), **BRANCH),
    "pcl": lambda: sg.recipes.pcl(make(), **BRANCH),
    "pcl in bfloat16": lambda: sg.recipes.pcl(make(), **BRANCH).to(torch.bfloat16),
    "distillation": lambda: sg.recipes.distillation(make(), teacher=make(), example=batch()[0]),
}


@pytest.fixture(params=TASKS)
def build(request):
    def fresh(seed: int = 0) -> sg.CollaborativeLearning:
        torch.manual_seed(seed)
        return TASKS[request.param]().train()

    return fresh


def learn(task, optimiser, numbers) -> list[float]:
    """One step a number; everything drawn depends on the number alone."""
    seen = []
    for number in numbers:
        torch.manual_seed(number)
        x, y = batch(number)
        inner = getattr(task, "module", task)
        owner = torch.arange(ROWS) % inner.group.students if isinstance(inner.rows, sg.Subsets) else None
        optimiser.zero_grad()
        losses = task(x.to(next(task.parameters()).dtype), y, owner=owner, progress=0.5)
        losses.total.backward()
        optimiser.step()
        seen.append(losses.total.item())
    return seen


def sgd(task: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD([p for p in task.parameters() if p.requires_grad], lr=0.1, momentum=0.9)


def close(like: torch.Tensor) -> dict[str, float]:
    """What several roundings in a tensor's precision come to."""
    rounding = 8 * torch.finfo(like.dtype).eps if like.is_floating_point() else 0
    return {"atol": rounding, "rtol": rounding}


def assert_equal(one: nn.Module, other: nn.Module) -> None:
    states = one.state_dict(), other.state_dict()
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


def test_safetensors_saves_and_loads_tasks_and_groups(build, tmp_path):
    safetensors = pytest.importorskip("safetensors.torch", reason="safetensors saves")
    task, again = build(), build(1)
    learn(task, sgd(task), range(2))
    for name, one, other in (("task", task, again), ("group", task.group, again.group)):
        safetensors.save_model(one, str(tmp_path / f"{name}.safetensors"))
        missing, unexpected = safetensors.load_model(other, str(tmp_path / f"{name}.safetensors"))
        assert not missing
        assert not unexpected
        assert_equal(one, other)
    assert again.step == task.step == 2
    network = task.group.export(task.group.students - 1)
    safetensors.save_model(network, str(tmp_path / "network.safetensors"))
    plain = make().to(next(network.parameters()).dtype)
    safetensors.load_model(plain, str(tmp_path / "network.safetensors"))
    assert_equal(plain, network)


def test_torch_loads_with_weights_only_and_goes_on_exactly(build, tmp_path):
    task = build()
    optimiser = sgd(task)
    learn(task, optimiser, range(2))
    saved = {"task": task.state_dict(), "optimiser": optimiser.state_dict(), "group": task.group.state_dict()}
    torch.save(saved, tmp_path / "saved.pt")
    expected = learn(task, optimiser, range(2, 4))
    again = build(1)
    other = sgd(again)
    saved = torch.load(tmp_path / "saved.pt", weights_only=True)
    again.group.load_state_dict(saved["group"])
    again.load_state_dict(saved["task"])
    other.load_state_dict(saved["optimiser"])
    assert learn(again, other, range(2, 4)) == expected
    assert_equal(task, again)


def test_states_load_by_assignment_from_a_task_on_no_device(build):
    """As large models are loaded: built on the meta device, their tensors taken from the file."""
    task = build()
    learn(task, sgd(task), range(2))
    state = {name: value.clone() for name, value in task.state_dict().items()}
    again = build(1)
    again.load_state_dict(state, assign=True)
    assert_equal(task, again)
    x = batch()[0].to(next(task.parameters()).dtype)
    with torch.no_grad():
        assert torch.equal(task.eval().group(x).logits, again.eval().group(x).logits)


def test_timm_averages_a_task(build):
    utils = pytest.importorskip("timm.utils", reason="timm averages weights")
    task = build()
    ema = utils.ModelEmaV3(task, decay=0.5)
    optimiser = sgd(task)
    expected = {name: value.clone() for name, value in task.state_dict().items()}
    for number in range(3):
        learn(task, optimiser, [number])
        ema.update(task)
        for name, value in task.state_dict().items():
            mean = expected[name]
            expected[name] = (mean + value) / 2 if mean.is_floating_point() else value.clone()
    for name, value in ema.module.state_dict().items():
        if not name.endswith("_extra_state"):
            torch.testing.assert_close(value, expected[name], **close(value))
    x = batch()[0].to(next(task.parameters()).dtype)
    logits = ema.module.eval().group(x).logits
    for student in range(task.group.students):
        torch.testing.assert_close(ema.module.group.export(student)(x), logits[student])


def test_torch_averages_a_task(build):
    task = build()
    averaged = torch.optim.swa_utils.AveragedModel(task)
    optimiser = sgd(task)
    seen = []
    for number in range(3):
        learn(task, optimiser, [number])
        averaged.update_parameters(task)
        seen.append([p.detach().double().clone() for p in task.parameters()])
    for found, *values in zip(averaged.module.parameters(), *seen, strict=True):
        torch.testing.assert_close(found.double(), torch.stack(values).mean(0), **close(found))


def test_accelerate_saves_and_loads_its_state(build, tmp_path):
    accelerate = pytest.importorskip("accelerate", reason="accelerate saves states")
    accelerator = accelerate.Accelerator(cpu=True)
    for safe in (True, False):
        task, optimiser = accelerator.prepare(one := build(), sgd(one))
        learn(task, optimiser, range(2))
        accelerator.save_state(str(tmp_path / str(safe)), safe_serialization=safe)
        state = copy.deepcopy(task.state_dict())
        expected = learn(task, optimiser, range(2, 4))
        accelerator.load_state(str(tmp_path / str(safe)))
        for name, value in task.state_dict().items():
            assert torch.equal(value, state[name]), name
        assert learn(task, optimiser, range(2, 4)) == expected
        accelerator._models.clear()
        accelerator._optimizers.clear()
    accelerator.save_model(task, str(tmp_path / "model"))
    again = build(1)
    accelerate.load_checkpoint_in_model(again, str(tmp_path / "model"))
    assert_equal(accelerator.unwrap_model(task), again)


class ForTrainer(nn.Module):
    """A task as the Trainer calls it: labels among the arguments, a mapping with the loss as the answer."""

    def __init__(self, task: sg.CollaborativeLearning):
        super().__init__()
        self.task = task

    def forward(self, x, labels, owner=None):
        owner = (
            torch.arange(len(x)) % self.task.group.students
            if isinstance(self.task.rows, sg.Subsets)
            else None
        )
        losses = self.task(x.to(next(self.parameters()).dtype), labels, owner=owner)
        return {"loss": losses.total, "logits": losses.logits.detach()[0]}


def test_a_transformers_trainer_resumes_exactly(build, tmp_path):
    transformers = pytest.importorskip("transformers", reason="the Trainer saves checkpoints")
    pytest.importorskip("accelerate", reason="the Trainer is built on accelerate")
    rows = [{"x": x, "labels": y} for number in range(2) for x, y in zip(*batch(number), strict=True)]

    def trainer(seed: int, steps: int) -> "transformers.Trainer":
        arguments = transformers.TrainingArguments(
            output_dir=str(tmp_path), max_steps=steps, save_steps=2, per_device_train_batch_size=ROWS,
            use_cpu=True, report_to=[], logging_strategy="no", disable_tqdm=True, lr_scheduler_type="constant",
            learning_rate=0.01, save_strategy="steps", remove_unused_columns=False,
        )  # fmt: skip
        return transformers.Trainer(ForTrainer(build(seed)), arguments, train_dataset=rows)

    whole = trainer(0, 4)
    whole.train()
    resumed = trainer(1, 4)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert resumed.model.task.step == 4
    assert_equal(whole.model, resumed.model)


@pytest.fixture
def one_rank(tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_distributed_checkpoints_hold_a_task(build, tmp_path, one_rank):
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict

    task = build()
    optimiser = sgd(task)
    learn(task, optimiser, range(2))
    model, moments = get_state_dict(task, optimiser)
    dcp.save({"task": model, "optimiser": moments}, checkpoint_id=tmp_path / "saved")
    expected = learn(task, optimiser, range(2, 4))
    again = build(1)
    other = sgd(again)
    learn(again, other, range(1))
    model, moments = get_state_dict(again, other)
    dcp.load({"task": model, "optimiser": moments}, checkpoint_id=tmp_path / "saved")
    set_state_dict(again, other, model_state_dict=model, optim_state_dict=moments)
    assert learn(again, other, range(2, 4)) == expected
    assert_equal(task, again)


@pytest.mark.filterwarnings("ignore:FSDP2-wrapped module .* returned a view tensor")
def test_sharded_tasks_learn_as_plain_ones(build, tmp_path, one_rank):
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    plain, task = build(), build()
    fully_shard(task, mesh=init_device_mesh("cpu", (1,)))
    expected = learn(plain, sgd(plain), range(3))
    found = learn(task, sgd(task), range(3))
    assert found == pytest.approx(expected, rel=1e-5)
    state = get_model_state_dict(task, options=StateDictOptions(full_state_dict=True))
    again = build(1)
    again.load_state_dict(state)
    assert again.step == 3
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, **close(value))
