"""Adapters and norms in training: what a student learns is what its export would."""

import pytest
import torch
from torch import nn

import studygroup as sg
from helpers.training_way import CLASSES, OWNERS, Net, assert_trains_as_its_exports, group


class Merging(nn.Linear):
    """An adapter that adds itself to the weights in `eval()`, and parts from them in `train()`."""

    def __init__(self):
        super().__init__(8, 8)
        self.weight.requires_grad_(False)
        self.low, self.merged = nn.Parameter(torch.ones(8, 8)), False

    def train(self, mode=True):
        super().train(mode)
        if self.merged is mode:
            self.weight.data += -self.low.data if mode else self.low.data
            self.merged = not mode
        return self

    def forward(self, x):
        h = super().forward(x)
        return h if self.merged else h + x @ self.low.T


class Adapted(Net):
    def __init__(self):
        super().__init__()
        self.body = Merging()


def test_adapters_that_merge_in_evaluation_learn_after_the_comparison():
    x, made = torch.randn(7, 6), group(Adapted)
    assert_trains_as_its_exports(made, x)
    assert all(module.low.grad.any() and not module.merged for module in made.copies("body"))


def test_lora_adapters_learn_as_in_the_exports():
    peft = pytest.importorskip("peft", reason="peft makes adapters")

    def build() -> nn.Module:
        return peft.get_peft_model(
            Net(), peft.LoraConfig(target_modules=["body"], r=2, init_lora_weights=False)
        )

    x, name = torch.randn(7, 6), "base_model.model.body"
    torch.manual_seed(0)
    made = sg.StudyGroup(build(), sg.routes.branches([name], students=2), init=build, share_head=True).train()
    logits = made(x).logits
    logits.square().sum().backward()
    for student, body in enumerate(made.copies(name)):
        alone = made.export(student).train()
        own = alone(x)
        torch.testing.assert_close(logits[student], own)
        own.square().sum().backward()
        for one, other in zip(body.parameters(), alone.get_submodule(name).parameters(), strict=True):
            assert one.requires_grad is other.requires_grad
            assert one.grad is None if other.grad is None else torch.allclose(one.grad, other.grad, atol=1e-6)


def test_consulted_peers_keep_frozen_norms():
    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, CLASSES))

    torch.manual_seed(0)
    made = sg.StudyGroup(build(), sg.routes.independent(students=2), init=build)
    learn = [sg.objectives.Imitation(sg.teachers.MeanOfOthers())]
    task = sg.CollaborativeLearning(made, learn, peers="train").train()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.eval()
    x, owner = torch.randn(6, 6), torch.arange(6) % 2
    whole = task(x, torch.zeros(6, dtype=torch.long), owner=owner).imitation
    alone = [
        task(x[[row]], torch.zeros(1, dtype=torch.long), owner=[row % 2]).imitation[row % 2]
        for row in range(6)
    ]
    for student in range(2):  # with statistics of the batch a row would hear another answer alone
        torch.testing.assert_close(whole[student], torch.stack(alone[student::2]).mean())


class WithoutStatistics(Net):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8, track_running_stats=False))


def test_norms_without_running_statistics_are_right_where_each_student_has_its_own():
    assert_trains_as_its_exports(group(WithoutStatistics), torch.randn(7, 6))
    assert_trains_as_its_exports(group(WithoutStatistics), torch.randn(7, 6), OWNERS)
    assert_trains_as_its_exports(group(WithoutStatistics, ("fc",)), torch.randn(7, 6))
