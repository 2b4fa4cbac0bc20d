"""The callback that keeps the student that ships."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import studygroup as sg

lightning = pytest.importorskip("lightning.pytorch", reason="what is integrated")
from studygroup.integrations.lightning import BestStudent  # noqa: E402


def make() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


class Module(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.task = sg.recipes.dml(make(), students=2, init=make)

    def training_step(self, batch, batch_idx):
        return self.task(*batch).total

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.5)


class Watch(lightning.Callback):
    """Scores every student after every epoch, by itself."""

    def __init__(self):
        self.scores, self.states = [], []

    def on_train_epoch_end(self, trainer, pl_module):
        networks = [pl_module.task.shipped.export(k).eval() for k in range(2)]
        x, y = HOLDOUT.tensors
        self.scores.append([(network(x).argmax(1) == y).double().mean().item() for network in networks])
        self.states.append([{k: v.clone() for k, v in network.state_dict().items()} for network in networks])


DRAW = torch.Generator().manual_seed(0)
TRAIN = TensorDataset(torch.randn(32, 6, generator=DRAW), torch.randint(3, (32,), generator=DRAW))
HOLDOUT = TensorDataset(torch.randn(30, 6, generator=DRAW), torch.randint(3, (30,), generator=DRAW))


def test_the_best_student_of_all_epochs_is_kept():
    torch.manual_seed(0)
    module, best, watch = Module(), BestStudent(), Watch()
    trainer = lightning.Trainer(
        max_epochs=4,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[watch, best],
    )
    with pytest.raises(ValueError, match="no student was kept yet"):
        best.network(module.task)
    trainer.fit(module, DataLoader(TRAIN, batch_size=8), DataLoader(HOLDOUT, batch_size=10))
    highest = max(max(scores) for scores in watch.scores)
    epoch = next(k for k, scores in enumerate(watch.scores) if max(scores) == highest)
    student = watch.scores[epoch].index(highest)
    assert (best.epoch, best.student, best.holdout) == (epoch + 1, student, pytest.approx(highest))
    network = best.network(module.task)
    assert not network.training
    assert all(torch.equal(v, watch.states[epoch][student][k]) for k, v in network.state_dict().items())
    logged = trainer.logged_metrics
    assert [float(logged[f"val_accuracy_student_{k}"]) for k in range(2)] == pytest.approx(watch.scores[-1])
    assert float(logged["val_accuracy_students_mean"]) == pytest.approx(sum(watch.scores[-1]) / 2)
    again = BestStudent()
    again.load_state_dict(best.state_dict())
    assert again.epoch == best.epoch
    assert all(torch.equal(v, best.weights[k]) for k, v in again.network(module.task).state_dict().items())


def test_validation_after_training_chooses_nothing():
    """Such as the score of test rows."""
    torch.manual_seed(0)
    module, best = Module(), BestStudent()
    options = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    trainer = lightning.Trainer(max_epochs=1, accelerator="cpu", callbacks=[best], **options)
    trainer.fit(module, DataLoader(TRAIN, batch_size=8), DataLoader(HOLDOUT, batch_size=10))
    before = (best.student, best.epoch, best.holdout)
    x, _ = HOLDOUT.tensors
    for student in range(2):  # on rows by which one student, then the other, is right throughout
        said = module.task.shipped.export(student).eval()(x).argmax(1)
        trainer.validate(module, DataLoader(TensorDataset(x, said), batch_size=10), verbose=False)
        assert float(trainer.logged_metrics[f"val_accuracy_student_{student}"]) == 1
        assert (best.student, best.epoch, best.holdout) == before


def test_a_module_holds_one_task(unchecked):
    module = Module()
    module.other = sg.recipes.dml(make(), students=2, init=make)
    with pytest.raises(ValueError, match="Module holds 2 tasks"):
        BestStudent().on_validation_epoch_start(None, module)
