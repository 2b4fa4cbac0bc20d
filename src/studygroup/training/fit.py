"""Train one task in one run folder, from the start or from its last checkpoint."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer

from studygroup.data import Data
from studygroup.stopping import interruptible
from studygroup.training.callbacks import FiniteLoss, FolderStays, RunBar, StopAtEpochEnd
from studygroup.training.checkpoints import newest_of_run
from studygroup.training.curves import Curves, no_tracebacks
from studygroup.training.folder import RunFolder, check_there
from studygroup.training.keep_history import History
from studygroup.training.metrics import GroupMetrics
from studygroup.training.module import StudyModule
from studygroup.training.processes import SameStart, is_first, strategy, together
from studygroup.training.provenance import note_provenance
from studygroup.training.save_checkpoints import AtomicCheckpointIO, LastTwo
from studygroup.training.scoring_by import scoring_by
from studygroup.training.select_student import BestSoFar, SelectedStudent, select_student
from studygroup.training.settings import Settings


@dataclass(frozen=True)
class Trained:
    """A task after its last epoch.

    Attributes:
        module: the Lightning module; `module.task` is the task, `module.datamodule` its batches.
        selected: the student that ships.
        history: one row of figures per epoch.
        device: the device it was trained on.
    """

    module: StudyModule
    selected: SelectedStudent
    history: History
    device: torch.device


def fit(
    settings: Settings,
    data: Data,
    folder: RunFolder,
    *,
    progress_bar: bool = True,
    more: Sequence[Callback] = (),
    tests: bool = True,
) -> Trained:
    """Train, or resume from the newest readable checkpoint in the folder.

    Args:
        settings: the settings of the run.
        data: as opened by `settings.load_data`.
        folder: receives checkpoints and logs.
        progress_bar: whether to draw a progress bar.
        more: further Lightning callbacks besides the run's own.
        tests: whether test rows will be scored; they are not read otherwise.

    Raises:
        ConfigurationChangedError: the checkpoint belongs to other settings.
        FolderGoneError: the folder was removed meanwhile.
        OSError: the folder cannot be written to, as where the disk is full.
        NonFiniteLossError: the loss became infinite or not a number.
        ValueError: the task ships something other than its students.
    """
    with together(settings):
        return _fit(settings, data, folder, progress_bar=progress_bar, more=more, tests=tests)


def _fit(
    settings: Settings,
    data: Data,
    folder: RunFolder,
    *,
    progress_bar: bool,
    more: Sequence[Callback],
    tests: bool,
) -> Trained:
    history = History(folder.metrics)
    task = settings.build_task(data)
    if task.shipped.students != task.group.students:
        raise ValueError(
            f"the task trains {task.group.students} students and ships {task.shipped.students}, and a run ships one "
            "student as the network that --model names; train such a task in a loop of your own, or export a student"
        )
    module = StudyModule(
        task=task,
        datamodule=settings.build_datamodule(data),
        settings=settings,
        history=history,
        metrics=GroupMetrics(
            settings.metrics or {}, students=task.shipped.students, classes=len(data.classes)
        ),
    )
    name = settings.select_by
    better = None if name is None else module.metrics.higher_is_better(name)
    by = scoring_by(name, settings.select_mode, higher_is_better=better)
    best = BestSoFar(by)
    callbacks: list[Callback] = [FiniteLoss(folder), FolderStays(folder), StopAtEpochEnd(), history, *more]
    callbacks += settings.build_parts("callbacks")
    first = is_first(settings)
    callbacks += [RunBar(settings.method_name, history)] if progress_bar and first else []
    callbacks += [best] if settings.select == "best" else []
    config = settings.config()
    if first:
        folder.write_config(config)  # only after all parts are built: invalid settings leave no folder
    callbacks.append(LastTwo(folder.checkpoints, every=settings.checkpoint_every, config=config))
    found = newest_of_run(folder.checkpoints, config, module.state_dict())
    if first:
        note_provenance(folder, settings, data, goes_on=found is not None, tests=tests)
    with interruptible("what the last checkpoint holds is kept"), _quiet(), no_tracebacks():
        clip = settings.gradient_clip_val if module.automatic_optimization else None  # else the module clips
        start = found.epoch + 1 if found else 0
        epochs = start if found and found.ended else settings.epochs
        callbacks.append(SameStart(start))
        loggers = settings.build_parts("loggers")
        for logger in loggers:
            logger.log_hyperparams(settings.config())
        trainer = Trainer(
            max_epochs=epochs,
            accelerator=settings.accelerator,
            devices=settings.devices,
            num_nodes=settings.num_nodes,
            strategy=strategy(settings, task),
            precision=settings.precision,  # type: ignore[arg-type]
            gradient_clip_val=clip,
            logger=[Curves(folder.path, start=start), *loggers],
            callbacks=callbacks,
            plugins=[AtomicCheckpointIO()],
            num_sanity_val_steps=0,  # the hold-out rows are scored after an epoch, never before the first
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        trainer.fit(module, ckpt_path=found.path if found else None, weights_only=True)
    check_there(folder)
    module.eval()
    selected = select_student(settings.select, history, task, best)
    return Trained(module, selected, history, trainer.strategy.root_device)


_NOISE = (
    # our loaders take whole batches from memory: more workers would only add copies
    ".*does not have many workers.*",
    # an epoch may be shorter than Lightning's logging interval: nothing is logged by step
    ".*The number of training batches.*smaller than the logging interval.*",
    # Lightning asks torch's tree utilities in a way that torch has deprecated
    ".*isinstance\\(treespec, LeafSpec\\).*",
    # what is logged is summed over processes before
    ".*recommended to use `self.log.*sync_dist=True.*",
    # expected when a run is resumed
    ".*Checkpoint directory .* exists and is not empty.*",
)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Lightning's routine messages; all other warnings pass."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    before: list[Any] = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for message in _NOISE:
            warnings.filterwarnings("ignore", message=message)
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)
