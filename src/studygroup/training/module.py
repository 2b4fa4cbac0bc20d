"""The Lightning module: training steps and the figures of an epoch. The learning itself is the task's."""

import itertools
import time
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.utils.data import DataLoader

from studygroup import seeding
from studygroup._engine.ranks import of_this_process, over_ranks
from studygroup.data import Batch, BatchPart
from studygroup.losses import Losses
from studygroup.parallel import whole_norms
from studygroup.task import CollaborativeLearning
from studygroup.training.curves import tags
from studygroup.training.datamodule import DataModule
from studygroup.training.history import EpochRow
from studygroup.training.keep_history import History
from studygroup.training.metrics import GroupMetrics
from studygroup.training.scores import Scores, Tally
from studygroup.training.settings import Settings
from studygroup.training.summary import MetricFigures


class StudyModule(LightningModule):
    """Lightning module that trains a task on a datamodule.

    Nothing in a step waits for the device: losses and scores are accumulated where they are computed and read once
    per epoch. Every random draw of a step, in the loaders, the augmentation, the teachers and the network's own
    dropout, is determined by (seed, epoch or step), so a step can be replayed.

    Args:
        task: the task to train.
        datamodule: its batches.
        settings: the settings of the run. Where students are trained in turn, their gradients are clipped here;
            otherwise the trainer clips.
        history: receives one row of figures per epoch.
        metrics: further metrics on the hold-out rows.

    Attributes:
        updates: number of updates of a student per epoch.
        holdout: scores on the hold-out rows after the last epoch.
        figures: further metrics on them.
    """

    holdout: Scores
    figures: Mapping[str, MetricFigures]

    def __init__(
        self,
        *,
        task: CollaborativeLearning,
        datamodule: DataModule,
        settings: Settings,
        history: History,
        metrics: GroupMetrics,
    ) -> None:
        super().__init__()
        self.task, self.datamodule, self.metrics = task, datamodule, metrics
        self._settings, self._history = settings, history
        self.automatic_optimization = not task.in_turn  # the trainer's own loop makes one update per batch
        self.updates = len(datamodule.training_batches(task, epoch=0))

    @property
    def done(self) -> int:
        """Number of updates of a student so far."""
        return self.global_step // self.task.turns

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Build the optimiser over all trainable parameters, with its rate set after every update."""
        settings = self._settings
        optimizer = settings.optimizer([p for p in self.task.parameters() if p.requires_grad])
        if not self.automatic_optimization:
            optimizer.register_step_pre_hook(self._clip_gradients)  # after gradients are unscaled
        scheduler = settings.rate.scheduler(optimizer, epochs=settings.epochs, updates=self.updates)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def train_dataloader(self) -> DataLoader[Any]:
        """Return the batches of the epoch that begins; the trainer sets the later epochs of their sampler."""
        # not `current_epoch`: in a checkpoint, which is written before its epoch is completed, that is the one before
        begun = self.trainer.fit_loop.epoch_progress.current.processed  # type: ignore[attr-defined]
        return self.datamodule.training_batches(self.task, epoch=begun)

    def val_dataloader(self) -> DataLoader[Any]:
        """Return the batches of the hold-out rows."""
        return self.datamodule.evaluation_loader(self.datamodule.data.holdout, part=True)

    def transfer_batch_to_device(
        self, batch: Batch | BatchPart, device: torch.device, dataloader_idx: int
    ) -> Batch | BatchPart:
        """Move inputs and labels; `owner` stays on the host, where rows are routed."""
        return batch.to(device)

    def on_train_epoch_start(self) -> None:
        """Reset the sums of the epoch."""
        students = self.task.group.students
        self._sums = torch.zeros(2, students, device=self.device)
        self._own = torch.zeros(students, device=self.device)
        self._objectives: dict[str, Tensor] = {}
        self._teachers: dict[str, Tensor] = {}
        self._total = torch.zeros((), device=self.device)
        self._first_bad = torch.full((), -1, dtype=torch.int64, device=self.device)
        self._rows, self._places = 0, 0
        self._tokens = torch.zeros((), dtype=torch.int64, device=self.device)
        self._started, self._started_cpu = time.perf_counter(), time.process_time()

    def training_step(self, batch: Batch | BatchPart, batch_idx: int) -> Tensor | None:
        """Return the loss of one update; None where students were updated in turn."""
        step = self.done
        batch, share = batch if isinstance(batch, BatchPart) else (batch, None)
        seed = seeding.derive(self._settings.seed, "step", step, *of_this_process())
        torch.manual_seed(seed)  # dropout and the like
        inputs, labels = self.datamodule.training_rows(batch, step=step)
        self._lr = self.trainer.optimizers[0].param_groups[0]["lr"]
        self._count(batch)
        weights = self._weigh(batch, share)
        progress = self.progress_at(step)
        with whole_norms() if self._settings.sync_batchnorm else nullcontext():
            for losses in self.task.steps(inputs, labels, owner=batch.owner, progress=progress, share=share):
                self._add(losses, step, weights)
                if self.automatic_optimization:
                    return losses.total
                self._update(losses.total)
        self.lr_schedulers().step()  # type: ignore[union-attr]
        return None

    def _count(self, batch: Batch) -> None:
        """Count rows and, for texts, positions and the tokens among them (the others are padding)."""
        self._rows += len(batch.labels)
        if isinstance(batch.inputs, Mapping):
            mask = batch.inputs["attention_mask"]
            self._tokens += mask.sum()
            self._places += mask.numel()

    @torch.no_grad()
    def _weigh(self, batch: Batch, share: Tensor | None) -> Tensor:
        """Count each student's rows; return what makes a sum over rows of its mean losses here, `share` undone."""
        students = self.task.group.students
        if batch.owner is None:
            rows = torch.full((students,), float(len(batch.labels)), device=self.device)
        else:
            each = torch.arange(students, device=batch.owner.device)
            rows = (batch.owner[:, None] == each).sum(0).float()
        # a share of 0: rows that a process has for the sake of its gradients alone
        counts = torch.ones_like(rows) if share is None else share.to(rows)
        rows = rows * (counts > 0)
        self._own += rows
        return torch.where(counts > 0, rows / counts, 0.0)

    def _clip_gradients(self, *_: Any) -> None:
        largest = self._settings.gradient_clip_val
        if largest is not None:
            nn.utils.clip_grad_norm_(self.task.parameters(), largest)

    def _update(self, loss: Tensor) -> None:
        """Update the parameters that the loss has a gradient for; the others stay unchanged."""
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    def progress_at(self, step: int) -> float:
        """Return the progress of training at an update, in [0, 1]."""
        done = step // self.updates if self._settings.progress == "epoch" else step / self.updates
        return done / self._settings.epochs

    @torch.no_grad()
    def _add(self, losses: Losses, step: int, weights: Tensor) -> None:
        self._sums += torch.stack([losses.supervised.detach(), losses.imitation.detach()]).float() * weights
        self._total += losses.total.detach().float()
        figures = {name: value / self.task.turns for name, value in (self.task.figures() or {}).items()}
        for sums, values in ((self._objectives, losses.auxiliary), (self._teachers, figures)):
            for name, value in values.items():
                sums[name] = sums.get(name, self._total.new_zeros(())) + value.detach().float()
        bad = ~torch.isfinite(losses.total.detach()) & (self._first_bad < 0)
        self._first_bad = torch.where(bad, step, self._first_bad)

    def first_bad_step(self) -> int:
        """Return an update of this epoch whose loss was not finite, the first of a process, or -1; all ask."""
        return int(over_ranks(self._first_bad, "max"))

    def on_validation_epoch_start(self) -> None:
        """Read losses and time of the training part, then start the tally of the hold-out rows."""
        sums = [self._total, *self._objectives.values(), *self._teachers.values()]
        self._losses = over_ranks(torch.stack(sums).div(self.updates)).tolist()
        rows = over_ranks(self._own, "sum").clamp(min=1)
        self._of_students = (over_ranks(self._sums, "sum") / rows).tolist()
        self._seconds = time.perf_counter() - self._started
        self._cpu_seconds = time.process_time() - self._started_cpu
        self._tally = Tally(self.task.group.students, self.device)
        self.metrics.to(self.device)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Count right answers on a hold-out batch."""
        logits = self.task.shipped(self.datamodule.inputs(batch.inputs)).logits
        self._tally.add(logits, batch.labels)
        self.metrics.add(logits, batch.labels)

    def on_validation_epoch_end(self) -> None:
        """Read the tally, here the host waits for the device, once per epoch; let callbacks watch the scores."""
        self._tally.gather()
        self.holdout, self.figures = self._tally.read(), self.metrics.read()
        best, ensemble = max(self.holdout.students), self.holdout.ensemble
        watched = {"holdout_mean": self.holdout.mean, "holdout_best": best, "holdout_ensemble": ensemble}
        self.log_dict(watched | metric_columns(self.figures), logger=False)

    def on_train_epoch_end(self) -> None:
        """Add the epoch's row of figures to the history and to TensorBoard."""
        row = self._row()
        self._history.add(row)
        for logger in self.loggers:
            logger.log_metrics(tags(row), step=row.epoch)

    def _row(self) -> EpochRow:
        """Return the figures of the epoch that ends."""
        scores = self.holdout
        total, *further = self._losses
        supervised, imitation = self._of_students
        named = [*self._objectives], [*self._teachers]
        counted = torch.tensor([self._rows, self._places, int(self._tokens)], device=self.device)
        rows, places, counted_tokens = over_ranks(counted, "sum").tolist()
        tokens = counted_tokens if places else None
        return EpochRow(
            epoch=self.current_epoch + 1,
            updates=self.done,
            seconds=self._seconds,
            cpu_seconds=self._cpu_seconds,
            rows_per_second=rows / self._seconds,
            lr=self._lr,
            imitation_weight=self.task.weights(self.progress_at(self.done - 1)).get("imitation", 0.0),
            loss=total,
            supervised=tuple(supervised),
            imitation=tuple(imitation),
            holdout=scores.students,
            ensemble=scores.ensemble,
            diversity=scores.diversity,
            disagreement=scores.disagreement,
            tokens_per_second=None if tokens is None else tokens / self._seconds,
            padding=None if tokens is None else 1 - tokens / places,
            objectives=dict(zip(named[0], further, strict=False)),
            teachers=dict(zip(named[1], further[len(named[0]) :], strict=True)),
            metrics=metric_columns(self.figures, prefix=""),
        )


def metric_columns(figures: Mapping[str, MetricFigures], *, prefix: str = "metric_") -> dict[str, float]:
    """Return metrics by the names of their columns: `metric_f1_0` of the first student, `metric_f1_ensemble`.

    Args:
        figures: of every student and of the ensemble, by the metrics' names.
        prefix: before all names.
    """
    found: dict[str, float] = {}
    for name, each in figures.items():
        found |= {f"{prefix}{name}_{k}": value for k, value in enumerate(each.students)}
        found[f"{prefix}{name}_ensemble"] = each.ensemble
    return found


def metric_figures(columns: Mapping[str, float], name: str) -> MetricFigures:
    """Return a metric from an epoch's columns without prefix, see `metric_columns`."""
    students = itertools.takewhile(lambda key: key in columns, (f"{name}_{k}" for k in itertools.count()))
    return MetricFigures(tuple(columns[key] for key in students), columns[f"{name}_ensemble"])
