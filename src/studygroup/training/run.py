"""A whole run: train the method and the plain baseline beside it, choose, score, ship."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from studygroup.data import Data
from studygroup.files import write_text
from studygroup.training import methods
from studygroup.training.config import check_same
from studygroup.training.describe import model_card
from studygroup.training.export import load_net, loading_lines, reestimate_bn, save_net
from studygroup.training.first_run import first_run
from studygroup.training.fit import Trained, fit
from studygroup.training.folder import RunFolder
from studygroup.training.scores import score, score_net
from studygroup.training.settings import RESULT_STAYS, Settings
from studygroup.training.step_cost import measure_step_cost
from studygroup.training.summarise import Summary, summarise
from studygroup.untrusted import check_tree


class FolderTakenError(ValueError):
    """The run folder is not empty."""


@dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes:
        folder: the run folder.
        summary: scores, cost and settings, as in `summary.json`.
        resumed_finished: whether nothing was done because the run was already finished.
    """

    folder: RunFolder
    summary: Summary
    resumed_finished: bool = False

    def load(self) -> nn.Module:
        """Load the shipped plain network, in `eval` mode, on the CPU."""
        return load_net(self.folder.weights)


def train(
    settings: Settings | None = None,
    *,
    run_dir: str | Path | None = None,
    resume: bool = False,
    progress_bar: bool = True,
) -> Result:
    """Train a method, ship one plain network and leave a run folder behind.

    Example:
        >>> result = train(Settings(data="digits", epochs=20), run_dir="runs/mine")
        >>> result.summary["shipped"]["test"], result.load()

    Args:
        settings: the settings that determine the result; by default the first run, `studygroup.training.first_run`.
        run_dir: the run folder; by default `runs/<recipe>-<data>-<seed>`.
        resume: whether to resume the run in the folder: from the newest readable checkpoint, or from the start
            without one. On the CPU it ends with the weights of an uninterrupted run, bit for bit.
        progress_bar: whether to draw a progress bar.

    Raises:
        FolderTakenError: the folder is not empty and `resume` was not given.
        ConfigurationChangedError: the run in the folder belongs to other settings.
        NonFiniteLossError: the loss became infinite or not a number.
        ValueError: data, model and recipe do not fit together.
    """
    settings = settings or first_run()
    folder = RunFolder(Path(run_dir) if run_dir is not None else default_folder(settings))
    config = settings.config()
    check_tree(folder.path)
    if folder.path.exists() and any(folder.path.iterdir()) and not resume:
        raise FolderTakenError(
            f"{folder.path} is not empty; continue the run there with --resume, or give another --run_dir"
        )
    if folder.config.exists():
        check_same(folder.read_config(), config, ignore=RESULT_STAYS, where=f"the run in {folder.path}")
    if folder.summary.exists():
        return Result(folder, folder.read_summary(), resumed_finished=True)
    data = settings.load_data()
    with cpu_threads(settings.threads):
        trained = fit(settings, data, folder, progress_bar=progress_bar)
        beside = _baseline(settings, data, folder, progress_bar=progress_bar)
        return _finish(settings, data, folder, trained, beside)


@contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """Set the number of torch's CPU threads within the context, if one is given."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def default_folder(settings: Settings) -> Path:
    """Return `runs/<recipe>-<data>-<seed>`."""
    return Path("runs") / f"{settings.method_name}-{Path(settings.data).name}-{settings.seed}"


def _baseline(settings: Settings, data: Data, folder: RunFolder, *, progress_bar: bool) -> Summary | None:
    """Train the plain network beside the method: same data, hold-out, epochs and seed."""
    if not settings.baseline or settings.method_name == "baseline":
        return None
    plain = dataclasses.replace(settings, recipe=methods.baseline, baseline=False)  # type: ignore[attr-defined]
    if folder.baseline.summary.exists():
        return folder.baseline.read_summary()
    trained = fit(plain, data, folder.baseline, progress_bar=progress_bar)
    return _finish(plain, data, folder.baseline, trained, None).summary


def _finish(
    settings: Settings, data: Data, folder: RunFolder, trained: Trained, beside: Summary | None
) -> Result:
    """Ship the chosen student, score the test rows for the first time, and write card and summary."""
    module, device = trained.module.to(trained.device), trained.device
    task, net = module.task, trained.selected.net.to(device)
    if settings.reestimate_bn:
        reestimate_bn(net, module.datamodule, task, device=device)
    summary = summarise(
        settings,
        data,
        trained,
        test=score(
            task.shipped,
            module.datamodule.evaluation_batches(data.test, device),
            students=task.group.students,
        ),
        shipped=score_net(net, module.datamodule.evaluation_batches(data.test, device)),
        baseline=beside,
        cost=measure_step_cost(settings, data, device=device) if beside is not None else None,
    )
    build = settings.builder(data)
    save_net(net, folder.weights, builder=build, data=data)
    write_text(folder.routes, task.group.routes.to_json())
    write_text(folder.card, model_card(summary, lines=loading_lines(folder.weights, builder=build)))
    folder.write_summary(summary)  # last: it marks the run as finished
    return Result(folder, folder.read_summary())
