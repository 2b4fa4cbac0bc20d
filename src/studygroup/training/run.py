"""A whole run: train the method and the plain baseline beside it, choose, score, ship."""

import dataclasses
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import NoReturn

from torch import Tensor

from studygroup._engine.ranks import alone
from studygroup.data import Data
from studygroup.files import write_text
from studygroup.stopping import interruptible
from studygroup.training import methods
from studygroup.training.computing import computing
from studygroup.training.config import Config, check_same
from studygroup.training.confusion import Answers
from studygroup.training.curves import log_result, no_tracebacks
from studygroup.training.describe import model_card
from studygroup.training.export import loading_lines, reestimate_bn, save_net
from studygroup.training.first_run import first_run
from studygroup.training.fit import Trained, fit
from studygroup.training.folder import LOCK, RunFolder, check_there, exclusive, is_unused
from studygroup.training.half import settled
from studygroup.training.load_run import Run
from studygroup.training.metrics import GroupMetrics
from studygroup.training.module import metric_figures
from studygroup.training.processes import is_first, wait_for_first
from studygroup.training.scores import score, score_net
from studygroup.training.settings import AUTO, RESULT_STAYS, Settings
from studygroup.training.step_cost import measure_step_cost
from studygroup.training.summarise import summarise
from studygroup.training.summary import MetricScores, Summary
from studygroup.untrusted import check_tree


class FolderTakenError(ValueError):
    """The run folder is not empty."""


def train(
    settings: Settings | None = None,
    *,
    run_dir: str | Path | None = None,
    resume: bool = False,
    progress_bar: bool = True,
) -> Run:
    """Train a method, ship one plain network and leave a run folder behind.

    Example:
        >>> result = train(Settings(data="digits", epochs=20), run_dir="runs/mine")
        >>> result.summary.shipped.test, result.load()

    Args:
        settings: the settings that determine the result; by default the first run, `studygroup.training.first_run`.
        run_dir: the run folder; by default `runs/<recipe>-<data>-<seed>`.
        resume: whether to resume the run in the folder: from the newest readable checkpoint, or from the start
            without one. On the CPU it ends with the weights of an uninterrupted run, bit for bit.
        progress_bar: whether to draw a progress bar.

    Raises:
        FolderTakenError: the folder is not empty and `resume` was not given.
        FolderInUseError: another process trains in the folder; nothing was written.
        ConfigurationChangedError: the run in the folder belongs to other settings.
        NonFiniteLossError: the loss became infinite or not a number.
        FolderGoneError: the run folder was removed meanwhile.
        OSError: the run folder cannot be written to, as where the disk is full.
        ValueError: the accelerator is not there, or data, model and recipe do not fit together.
        KeyboardInterrupt: SIGINT came; SIGTERM and SIGHUP raise `SystemExit` with their exit status. The epoch at
            hand is saved if that takes less than two seconds; resume the run to go on.
    """
    settings = settings or first_run()
    folder = RunFolder(Path(run_dir) if run_dir is not None else default_folder(settings))
    return train_in(folder, settings, resume=resume, progress_bar=progress_bar)


def train_in(
    folder: RunFolder,
    settings: Settings,
    *,
    resume: bool,
    progress_bar: bool,
    look: Callable[[Data], None] = lambda data: None,
) -> Run:
    """Train as `train` does.

    Args:
        folder: the run folder.
        settings: the settings of the run.
        resume: as for `train`.
        progress_bar: as for `train`.
        look: called with the data, before training; not where the run is finished already.
    """
    config = settings.config()
    first = is_first(settings)
    if first:
        check_folder(folder, config, resume=resume)
    if not folder.summary.exists():
        settings.check_here()
        with (
            interruptible(f"go on with train(..., run_dir='{folder.path}', resume=True)"),
            exclusive(folder.path) if first else nullcontext(),
        ):
            return _train(settings, folder, resume=resume, progress_bar=progress_bar, look=look)
    return _finished(folder)


def _train(
    settings: Settings, folder: RunFolder, *, resume: bool, progress_bar: bool, look: Callable[[Data], None]
) -> Run:
    """Train in a folder that this process holds."""
    first = is_first(settings)
    if first:
        # another process may have begun, and ended, meanwhile
        check_folder(folder, settings.config(), resume=resume)
        if folder.summary.exists():
            return _finished(folder)
    data = settings.load_data()
    settings = settled(settings, data, folder)
    with computing(settings):
        look(data)
        trained = fit(settings, data, folder, progress_bar=progress_bar)
        beside = _baseline(settings, data, folder, progress_bar=progress_bar)
        found = _finish(settings, data, folder, trained, beside) if first else None
        wait_for_first()
        return found or _finished(folder)


def _refuse(folder: RunFolder) -> NoReturn:
    """Refuse a folder that is not empty."""
    if (folder.path / LOCK).exists():
        with exclusive(folder.path):  # where another process holds it, that is what to say
            pass
    raise FolderTakenError(
        f"{folder.path} is not empty; continue the run there with --resume, or give another --run_dir"
    )


def _finished(folder: RunFolder) -> Run:
    """Return the result of a finished run."""
    return Run(folder, folder.read_summary(), resumed_finished=True)


def check_folder(folder: RunFolder, config: Config, *, resume: bool) -> None:
    """Refuse a folder that no run of this configuration can be trained in; nothing is written.

    Raises:
        ConfigurationChangedError: the run in the folder belongs to other settings.
        FolderTakenError: the folder is not empty and `resume` was not given.
        NotAllowedError: it holds pipes or links.
    """
    check_tree(folder.path)
    if not resume and not is_unused(folder.path):
        _refuse(folder)
    if folder.config.exists():
        stays = (*RESULT_STAYS, *(["precision"] if config["precision"] == AUTO else []))
        check_same(folder.read_config(), config, ignore=stays, where=f"the run in {folder.path}")


def default_folder(settings: Settings) -> Path:
    """Return `runs/<recipe>-<data>-<seed>`."""
    return Path("runs") / f"{settings.method_name}-{Path(settings.data).name}-{settings.seed}"


def _baseline(settings: Settings, data: Data, folder: RunFolder, *, progress_bar: bool) -> Summary | None:
    """Train the plain network beside the method: same data, hold-out, epochs and seed."""
    plain = plain_beside(settings)
    if plain is None:
        return None
    if folder.baseline.summary.exists():
        return folder.baseline.read_summary()
    trained = fit(plain, data, folder.baseline, progress_bar=progress_bar)
    return _finish(plain, data, folder.baseline, trained, None).summary if is_first(settings) else None


def plain_beside(settings: Settings) -> Settings | None:
    """Return the settings of the plain network beside a run; None where none is trained."""
    if not settings.baseline or settings.method_name == "baseline":
        return None
    return dataclasses.replace(settings, recipe=methods.baseline, baseline=False)  # type: ignore[attr-defined]


@alone()  # the first process does it, on all rows, while the others wait
def _finish(
    settings: Settings, data: Data, folder: RunFolder, trained: Trained, baseline: Summary | None
) -> Run:
    """Ship the chosen student, score the test rows for the first time, and write card and summary."""
    module, device = trained.module.to(trained.device), trained.device
    task, net = module.task, trained.selected.net.to(device)
    if settings.reestimate_bn:
        reestimate_bn(net, module.datamodule, task, device=device)
    answers = Answers()
    asked, classes = settings.metrics or {}, len(data.classes)
    of_all = GroupMetrics(asked, students=task.group.students, classes=classes, alone=True).to(device)
    of_one = GroupMetrics(asked, students=1, classes=classes, alone=True).to(device)

    def count(logits: Tensor, labels: Tensor) -> None:
        answers.add(logits, labels)
        of_one.add(logits[None], labels)

    test = score(
        task.shipped,
        module.datamodule.evaluation_batches(data.test, device),
        students=task.group.students,
        each=of_all.add,
    )
    shipped = score_net(net, module.datamodule.evaluation_batches(data.test, device), each=count)
    on_test, of_shipped = of_all.read(), of_one.read()
    summary = summarise(
        settings,
        data,
        trained,
        test=test,
        shipped=shipped,
        baseline=baseline,
        cost=measure_step_cost(settings, data, device=device) if baseline is not None else None,
        metrics={
            name: MetricScores(
                holdout=metric_figures(trained.history.rows[-1].metrics, name),  # trained here or before
                test=on_test[name],
                shipped=of_shipped[name].students[0],
            )
            for name in asked
        }
        or None,
    )
    build = settings.builder(data)
    check_there(folder)
    save_net(net, folder.weights, builder=build, data=data)
    write_text(folder.routes, task.group.routes.to_json())
    write_text(folder.card, model_card(summary, lines=loading_lines(folder.weights, builder=build)))
    answers.read().write(folder.confusion)
    with no_tracebacks():
        log_result(folder, settings.config(), summary)
    folder.write_summary(summary)  # last: it marks the run as finished
    return Run(folder, summary)
