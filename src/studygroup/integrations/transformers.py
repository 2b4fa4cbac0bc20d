"""A `transformers.Trainer` of a task, for classification."""

from collections.abc import Callable, Mapping
from inspect import signature
from numbers import Real
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import EvalPrediction, Trainer, TrainingArguments

from studygroup.loaders import student_loader
from studygroup.ownership import Subsets
from studygroup.shipping import check_class_indices, right, split, student_to_ship
from studygroup.task import CollaborativeLearning

Metrics = Callable[[EvalPrediction], Mapping[str, Any]]


class StudyTrainer(Trainer):
    """Trainer of a task: its loss, its rows, metrics of its students. Checkpoints and resuming are the Trainer's own.

    Columns that are no argument of the network are left out of batches. Where students have sub-sets of their own
    (CGL), these are drawn with `args.data_seed` (or `args.seed`), and `per_device_train_batch_size` counts the rows
    of *each* student. What ships is what `sg.best_student` selects; `save_model` saves the whole task.

    Evaluation reports `loss`, the mean of the students' own on the labels. What `compute_metrics` returns is that of
    the student that would ship, the leader or else the most accurate (`student`), whatever it measures; labels other
    than class indices are refused. Every number NAME in it is also reported of student k (`student_k_NAME`), of the
    ensemble (`ensemble_NAME`) and as the students' mean (`students_mean_NAME`). `predict` returns logits
    (rows, students, classes).

    Args:
        model: the task; inputs are keyword arguments of its network, labels the column `labels`: class indices.
        args: as for the Trainer.
        compute_metrics: as for the Trainer, called with the logits (rows, classes) of one student after another;
            omitted, accuracy.
        **options: of the Trainer.

    Raises:
        TypeError: a model that is no task.
        ValueError: a task whose students are updated in turn, a loss of the Trainer's own (`compute_loss_func`,
            `label_smoothing_factor`), its switch of activation checkpointing, metrics batch by batch, or several GPUs
            in one process.

    Example:
        >>> task = sg.recipes.dml(network, students=2, init=make_network)
        >>> trainer = StudyTrainer(task, args, train_dataset=train, eval_dataset=holdout)
        >>> trainer.train()
        >>> net = task.shipped.export(sg.best_student(task, trainer.get_eval_dataloader()))
    """

    def __init__(
        self,
        model: CollaborativeLearning,
        args: TrainingArguments | None = None,
        *,
        compute_metrics: Metrics | None = None,
        **options: Any,
    ) -> None:
        if not isinstance(model, CollaborativeLearning):
            raise TypeError(
                f"the model is a {type(model).__name__}; hand in a task, such as sg.recipes.dml(model)"
            )
        self.task = model
        args = args or TrainingArguments("trainer_output")  # where the Trainer itself writes
        _check(model, args, options)
        super().__init__(model, args, compute_metrics=_OfStudents(model, compute_metrics), **options)
        self.label_names = ["labels"]
        network = model.group.export(0)
        self._columns = [*signature(network.forward).parameters, "labels", "label", "label_ids"]
        self._signature_columns = self._columns  # type: ignore[assignment]  # as the Trainer itself does

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return the training batches; with owners, where students have sub-sets of their own."""
        if not isinstance(self.task.rows, Subsets):
            batches: DataLoader[Any] = super().get_train_dataloader()
            return batches
        if self.train_dataset is None:
            raise ValueError("there are no training rows; hand in train_dataset")
        args = self.args
        loader = student_loader(
            self.train_dataset,
            self.task,
            batch_size=args.per_device_train_batch_size,
            seed=args.seed if args.data_seed is None else args.data_seed,
            drop_last=args.dataloader_drop_last,
            collate_fn=_KnownColumns(self.data_collator, self._columns),
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory,
            persistent_workers=args.dataloader_persistent_workers,
            prefetch_factor=args.dataloader_prefetch_factor,
        )
        prepared: DataLoader[Any] = self.accelerator.prepare(loader)
        return prepared

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Return the total of the task's losses on a training batch; with outputs, the students' logits too."""
        rows, labels = split(inputs)
        progress = min(self.state.global_step / max(self.state.max_steps, 1), 1.0)
        losses = model(rows, labels, owner=inputs.get("owner"), progress=progress)
        return (losses.total, {"logits": losses.logits.transpose(0, 1)}) if return_outputs else losses.total

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Return loss, logits (rows, students, classes) and labels of what ships, on a batch."""
        rows, labels = split(self._prepare_inputs(inputs))
        with torch.no_grad(), self.accelerator.autocast():
            logits = self.task.shipped(rows).logits.float()
        loss = None if labels is None else _mean_loss(self.task, logits, labels)
        return loss, None if prediction_loss_only else logits.transpose(0, 1).contiguous(), labels


class _OfStudents:
    """Metrics of every student, of the ensemble, and of the student that would ship."""

    def __init__(self, task: CollaborativeLearning, compute: Metrics | None) -> None:
        self.task, self.compute = task, compute or _accuracy

    def __call__(self, found: EvalPrediction) -> dict[str, Any]:
        """Return the metrics by name."""
        logits, labels = torch.as_tensor(found.predictions), torch.as_tensor(found.label_ids)
        check_class_indices(labels, logits[:, 0])
        shares = right(logits.transpose(0, 1), labels).double().mean(-1).tolist()
        ensemble = logits.double().softmax(-1).mean(1).log().to(logits)
        each = [dict(self.compute(_of(found, one))) for one in (*logits.unbind(1), ensemble)]
        *students, of_all = each
        best = student_to_ship(self.task, shares)
        metrics = {"student": best, **students[best]}
        for name in (name for name, value in students[best].items() if isinstance(value, Real)):
            metrics |= {f"student_{k}_{name}": one[name] for k, one in enumerate(students)}
            metrics[f"students_mean_{name}"] = fmean(float(one[name]) for one in students)
            metrics[f"ensemble_{name}"] = of_all[name]
        return metrics


def _of(found: EvalPrediction, logits: Tensor) -> EvalPrediction:
    """Return what was found with the logits of one student."""
    further = {name: getattr(found, name, None) for name in ("inputs", "losses")}
    given = {name: value for name, value in further.items() if value is not None}
    return EvalPrediction(predictions=logits.numpy(), label_ids=found.label_ids, **given)


def _accuracy(found: EvalPrediction) -> dict[str, float]:
    of = right(torch.as_tensor(found.predictions), torch.as_tensor(found.label_ids))
    return {"accuracy": of.double().mean().item()}


class _KnownColumns:
    """Collates rows without the columns that no argument of the network takes."""

    def __init__(self, collate: Callable[[list[Any]], Any], columns: list[str]) -> None:
        self.collate, self.columns = collate, frozenset(columns)

    def __call__(self, rows: list[Mapping[str, Any]]) -> Any:
        """Return a batch."""
        return self.collate([{k: v for k, v in row.items() if k in self.columns} for row in rows])


def _mean_loss(task: CollaborativeLearning, logits: Tensor, labels: Tensor) -> Tensor:
    """Return the students' mean loss on labels."""
    each, counts = task.criterion.loss(task.criterion.spread(logits), labels)
    return each.mean() if counts is None else (each * counts).sum() / (counts.sum() * len(each))


def _check(task: CollaborativeLearning, args: TrainingArguments, options: Mapping[str, Any]) -> None:
    if task.in_turn:
        raise ValueError(
            "the task updates its students in turn, several updates a batch, and the Trainer makes one; build it "
            "with in_turn=False"
        )
    if args.label_smoothing_factor or options.get("compute_loss_func") is not None:
        raise ValueError(
            "the Trainer would compute a loss of its own, and the task has one; for label smoothing hand in "
            "task.with_criterion(sg.objectives.CrossEntropy(label_smoothing=...))"
        )
    again = [
        name for name in ("activation_checkpointing", "gradient_checkpointing") if getattr(args, name, None)
    ]
    if again:
        raise ValueError(
            f"{again[0]}=True is for a network of transformers, and the model is a task; switch it on in the "
            f"network, network.{again[0]}_enable(), before the recipe takes it, and leave it out here"
        )
    if args.batch_eval_metrics:
        raise ValueError("batch_eval_metrics=True; metrics of students need all rows at once: leave it out")
    if args.n_gpu > 1:
        raise ValueError(
            f"one process sees {args.n_gpu} GPUs, among which the Trainer would split each batch and copy the task; "
            "start one process for each with torchrun, or set CUDA_VISIBLE_DEVICES=0"
        )
