"""State dicts fit the ecosystem: tensors alone, the route table among them, usable after inference."""

import pytest
import safetensors.torch
import torch
from torch import nn

import studygroup as sg
from studygroup.inputs import count_rows


def make() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))


def cgl(seed: int) -> sg.CollaborativeLearning:
    return sg.recipes.cgl(make(), layers=["0", "2", "4"], students=4, init=make, seed=seed)


def test_a_state_dict_holds_tensors_alone(tmp_path):
    task = cgl(0)
    assert all(isinstance(value, torch.Tensor) for value in task.state_dict().values())
    safetensors.torch.save_model(task, str(tmp_path / "task.safetensors"))
    again = cgl(0)
    safetensors.torch.load_model(again, str(tmp_path / "task.safetensors"))
    torch.save(task.state_dict(), tmp_path / "task.pt")
    again.load_state_dict(torch.load(tmp_path / "task.pt", weights_only=True))
    for name, value in task.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_the_state_of_other_routes_is_refused_by_the_first_layer_that_differs():
    task, other = cgl(0), cgl(1)
    layer = next(
        name
        for name, a, b in zip(
            task.group.routes.layers, task.group.routes.table, other.group.routes.table, strict=True
        )
        if a != b
    )
    with pytest.raises((ValueError, RuntimeError), match=f"at layer '{layer}' its students take modules"):
        other.load_state_dict(task.state_dict())


def test_a_state_without_a_table_loads():
    task, again = cgl(0), cgl(0)
    state = {name: value for name, value in task.state_dict().items() if name != "group._extra_state"}
    again.load_state_dict(state)
    assert torch.equal(again.group.export(1)[0].weight, task.group.export(1)[0].weight)


def test_a_state_that_was_cast_loads():
    task, again = cgl(0), cgl(0)
    again.load_state_dict({name: value.half() for name, value in task.state_dict().items()})
    weights = [one.group.export(1)[0].weight for one in (again, task)]
    torch.testing.assert_close(*weights, atol=1e-3, rtol=1e-3)


def test_a_group_used_in_inference_mode_trains_afterwards():
    task = cgl(0).train()
    x, y, owner = torch.randn(8, 6), torch.arange(8) % 3, torch.arange(8) % 4
    with torch.inference_mode():
        before = task(x, y, owner=owner).total
        task.group(x)
    task.step = 0
    losses = task(x, y, owner=owner)
    losses.total.backward()
    torch.testing.assert_close(losses.total.detach(), before.clone())
    assert all(p.grad is not None for p in task.parameters())


def test_draws_follow_steps_with_a_gradient_in_evaluation_mode_too():
    task = cgl(0).eval()
    x, y = torch.randn(8, 6), torch.arange(8) % 3
    task(x, y)
    assert task.step == 1
    with torch.no_grad():
        task(x, y)
    assert task.step == 1


def test_inputs_of_other_kinds_are_refused_and_nested_ones_selected():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Linear(6, 8), nn.Linear(8, 3)

        def forward(self, image, text):
            return self.head(self.body(image + text["ids"].sum(1, keepdim=True) * text["scale"]).relu())

    group = sg.StudyGroup(Two(), sg.routes.branches(["body", "head"], students=2), init=Two)
    x = {"image": torch.randn(5, 6), "text": {"ids": torch.randn(5, 4), "scale": 2.0}}
    sees = torch.tensor([[True, True, False, False, True], [False, True, True, False, True]])
    logits = group(x, sees=sees).logits
    for student in range(2):
        net = group.export(student)
        torch.testing.assert_close(logits[student][sees[student]], net(**x)[sees[student]])
    with pytest.raises(ValueError, match="the inputs are a tuple; hand in a tensor, or a mapping"):
        count_rows((torch.randn(5, 6), torch.randn(5, 4)))


def test_auxiliary_logits_that_would_be_dropped_are_refused():
    import torchvision

    with torch.device("meta"):
        net = torchvision.models.googlenet(num_classes=5, init_weights=False)
    task = sg.recipes.baseline(net.to_empty(device="cpu")).train()
    with pytest.raises(ValueError, match="'aux_logits2' beside its logits"):
        task(torch.zeros(2, 3, 64, 64), torch.tensor([0, 1]))
