"""The distillation loss and its gradient against loops in float64, written from Hinton et al. 2015."""

import copy
import functools

import pytest
import timm
import torch
from torch import nn

import studygroup as sg
from helpers.loops import CLASSES, ROWS, answers, batch, build, constant, hard, kl, log_psi, networks
from helpers.small_run import small
from studygroup.training import methods, train

EXAMPLE = torch.randn(2, 4)


class Big(nn.Module):
    """A teacher of another class, with what training would move and make random."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(4, 9), nn.BatchNorm1d(9), nn.Dropout(0.5), nn.Linear(9, CLASSES)
        )

    def forward(self, x):
        return self.layers(x)


def make(teacher=None, **options) -> sg.CollaborativeLearning:
    torch.manual_seed(0)
    model = build()
    teacher = Big() if teacher is None else teacher
    return sg.recipes.distillation(model, teacher=teacher, example=EXAMPLE, **options).double()


@pytest.mark.parametrize(
    ("options", "alpha", "temperature", "factor"),
    [({}, 0.5, 2.0, 4.0), ({"alpha": 0.9, "temperature": 5.0, "scale_by_t2": False}, 0.9, 5.0, 1.0)],
)
def test_the_loss_and_its_gradient_are_the_papers(options, alpha, temperature, factor):
    torch.manual_seed(1)
    teacher = Big()
    with torch.no_grad():
        teacher.layers[1].running_mean.normal_()
        teacher.layers[3].weight.mul_(20)
    task = make(teacher, **options).train()
    x, y = batch()
    (net,) = networks(task)
    says = copy.deepcopy(teacher).double().eval()(x)  # of eval: the running mean, and nothing dropped
    z = answers([net], x)[0]
    soft = 0
    for n in range(ROWS):
        soft = soft + kl(constant(log_psi(says[n], temperature)), log_psi(z[n], temperature)) / ROWS
    total = (1 - alpha) * hard(z) + alpha * factor * soft
    total.backward()

    losses = task(x, y)
    losses.total.backward()
    torch.testing.assert_close(losses.total, total)
    torch.testing.assert_close(losses.imitation[0], factor * soft)
    student = task.group.model.bank[0]
    for (name, own), expected in zip(student.named_parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(own.grad, expected.grad, msg=name)


def test_the_teacher_is_a_copy_that_stays_as_it_is_whatever_the_student_does():
    teacher = Big()
    task = make(teacher).train()
    assert not any(p.requires_grad for p in task.sources.parameters())
    kept = copy.deepcopy(task.sources.state_dict())
    start = [p.detach().clone() for p in task.group.parameters()]
    optimiser = torch.optim.SGD(task.parameters(), lr=0.5, momentum=0.9, weight_decay=0.1)
    x, y = batch()
    first = task(x, y).imitation
    torch.testing.assert_close(task(x, y).imitation, first, rtol=0, atol=0)  # no dropout
    for _ in range(3):
        optimiser.zero_grad()
        task.train()(x, y).total.backward()
        optimiser.step()
    for name, value in task.sources.state_dict().items():
        assert torch.equal(value, kept[name]), name
    for before, after in zip(start, task.group.parameters(), strict=True):
        assert not torch.equal(before, after)
    assert not any(module.training for module in task.teachers[0].of.modules())
    assert teacher.training  # the caller's own is untouched
    assert all(p.requires_grad for p in teacher.parameters())


def test_the_student_ships_under_the_networks_own_keys():
    task = make()
    net = task.shipped.export(0)
    assert type(net) is nn.Sequential
    assert list(net.state_dict()) == list(build().state_dict())
    x, _ = batch()
    torch.testing.assert_close(net(x), task.eval().group(x).logits[0])


def test_a_state_dict_brings_student_and_teacher_back():
    task, other = make(), sg.recipes.distillation(build(), teacher=Big(), example=EXAMPLE).double()
    x, y = batch()
    assert not torch.equal(task(x, y).imitation, other(x, y).imitation)
    other.load_state_dict(task.state_dict())
    assert torch.equal(task(x, y).total, other(x, y).total)
    assert other.step == 2


@pytest.mark.slow
def test_a_finished_run_teaches_by_its_folder_and_by_its_file(tmp_path):
    run = train(small(recipe=methods.baseline, epochs=1), run_dir=tmp_path / "big", progress_bar=False)
    settings = small(recipe=functools.partial(methods.distillation, teacher=str(run.folder.path)))
    data = settings.load_data()
    rows = settings.build_datamodule(data).inputs(data.test[torch.arange(6)][0])
    task = settings.build_task(data)
    by_file = small(recipe=functools.partial(methods.distillation, teacher=str(run.folder.weights)))
    with torch.no_grad():
        says = task.teachers[0].of(rows).logits[0]
        torch.testing.assert_close(says, run.load()(rows))
        torch.testing.assert_close(by_file.build_task(data).teachers[0].of(rows).logits[0], says)
    again = type(settings).from_config(settings.config())  # as a config.yaml brings it back
    assert again.config()["recipe"]["init_args"]["teacher"] == str(run.folder.path)
    torch.testing.assert_close(again.build_task(data).teachers[0].of(rows).logits[0], says)
    run.folder.summary.unlink()
    with pytest.raises(ValueError, match=r"no finished run: summary\.json is missing"):
        settings.build_task(data)


def test_a_timm_network_teaches_with_weights_of_a_file(tmp_path):
    torch.manual_seed(0)
    net = timm.create_model("test_resnet", num_classes=5, in_chans=1).eval()
    torch.save(net.state_dict(), tmp_path / "net.pth")
    images = torch.randn(3, 1, 32, 32)
    student = nn.Sequential(nn.Flatten(), nn.Linear(1024, 5))
    task = sg.recipes.distillation(
        student, teacher="timm/test_resnet", weights=str(tmp_path / "net.pth"), example=images[:2]
    )
    torch.testing.assert_close(task.teachers[0].of(images).logits[0], net(images).detach())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.5}, r"alpha is 1\.5"),
        ({"teacher": nn.Linear(4, 3)}, "the teacher tells 3 classes apart and the student 7"),
        ({"teacher": "resnet81"}, r"teacher 'resnet81' is no run folder.*near: 'resnet18'"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_texts_have_no_timm_teacher():
    ids = {"input_ids": torch.zeros(2, 3, dtype=torch.long), "attention_mask": torch.ones(2, 3)}

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(1, 2)

        def forward(self, input_ids, attention_mask):
            return self.head(input_ids.float().mean(1, keepdim=True))

    with pytest.raises(ValueError, match="test_resnet reads pictures, and the rows are not"):
        sg.recipes.distillation(Reader(), teacher="test_resnet", example=ids)


def test_without_the_packages_a_name_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(ValueError, match=r"pip install 'studygroup\[train\]'"):
        make("test_resnet")


def test_the_paper_is_cited():
    assert "hinton2015distilling" in sg.citation(make())
