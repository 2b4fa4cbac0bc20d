"""Load a finished run, to score it again and to export any of its students."""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from studygroup.data import Data
from studygroup.files import write_text
from studygroup.task import CollaborativeLearning
from studygroup.training.checkpoints import newest_of_run
from studygroup.training.datamodule import DataModule
from studygroup.training.describe import model_card
from studygroup.training.export import (
    LOADING_LINES,
    SUFFIXES,
    WRITERS,
    Format,
    card_path,
    load_net,
    read_facts,
    reestimate_bn,
)
from studygroup.training.folder import RunFolder
from studygroup.training.scores import accuracy, score_net
from studygroup.training.settings import Settings, cpu_threads
from studygroup.training.summary import Summary
from studygroup.untrusted import check_tree


@dataclass(frozen=True)
class Run:
    """A finished run; its settings, data and networks are loaded when they are asked for.

    Attributes:
        folder: the run folder.
        summary: scores, cost and facts.
        resumed_finished: whether `train` did nothing because the run was already finished.
    """

    folder: RunFolder
    summary: Summary
    resumed_finished: bool = False

    @functools.cached_property
    def settings(self) -> Settings:
        """The settings that it was trained with."""
        return Settings.from_config(self.folder.read_config(), where=self.folder.config)

    @functools.cached_property
    def data(self) -> Data:
        """The data that it was trained on."""
        return self.settings.load_data()

    @functools.cached_property
    def datamodule(self) -> DataModule:
        """The batches of its data."""
        return self.settings.build_datamodule(self.data)

    def load(self) -> nn.Module:
        """Load the shipped plain network, in `eval` mode, on the CPU.

        Raises:
            ValueError: its file is missing or damaged.
        """
        return load_net(self.folder.weights)

    def task(self) -> CollaborativeLearning:
        """Rebuild the task from the last checkpoint, on the CPU.

        Raises:
            ConfigurationChangedError: the checkpoint is that of another run.
            ValueError: no checkpoint can be read, or its tensors do not fit the run's network.
        """
        task = self.settings.build_task(self.data)
        own = {f"task.{name}": value for name, value in task.state_dict().items()}
        found = newest_of_run(self.folder.checkpoints, self.settings.config(), own)
        if found is None:
            raise ValueError(
                f"{self.folder.checkpoints} has no readable checkpoint; train the run again in a new folder"
            )
        task.load_state_dict({name.removeprefix("task."): value for name, value in found.state_dict.items()})
        return task

    def reestimate_bn(self, net: nn.Module, *, device: torch.device) -> None:
        """Re-estimate the batch-norm statistics of one student's network in place, see `export.reestimate_bn`.

        Args:
            net: the exported network.
            device: the device to compute on.
        """
        # the task decides how rows are batched
        reestimate_bn(net, self.datamodule, self.settings.build_task(self.data), device=device)


@contextmanager
def load_run(run: str | Path) -> Iterator[Run]:
    """Reopen a finished run, on as many CPU threads as it was trained with.

    Args:
        run: the run folder.

    Raises:
        NotAllowedError: its configuration names code that nobody allowed, or it holds pipes or links.
        ValueError: the folder holds no finished run, or its files or data are damaged.
    """
    folder = RunFolder(Path(run))
    check_tree(folder.path)
    found = Run(folder, folder.read_summary())
    with cpu_threads(found.settings.threads):
        yield found


def evaluate(run: str | Path) -> dict[str, Any]:
    """Score the shipped file of a finished run again, on the run's own hold-out and test rows, on the CPU.

    Args:
        run: the run folder.

    Returns:
        `holdout` and `test`, shares of right answers, on hold-out labels with the run's noise; `holdout_top5` and
        `test_top5`, shares of rows whose class is among the five likeliest; `summary_test`, the summary's `test`;
        `test_rows` and `classes`, how many of each there are.

    Raises:
        ValueError: the folder holds no finished run, or its files or data are damaged.
    """
    cpu = torch.device("cpu")
    with load_run(run) as found:
        net, data = found.load(), found.data
        named = read_facts(found.folder.weights).classes
        if named != tuple(data.classes):
            raise ValueError(
                f"{found.folder.weights} tells {_some(named)} apart, and the data have {_some(data.classes)}; "
                "give the data that it was trained on"
            )
        holdout, test = (
            score_net(net, found.datamodule.evaluation_batches(split, cpu))
            for split in (data.holdout, data.test)
        )
    return {
        "holdout": holdout.students[0],
        "holdout_top5": holdout.students_top5[0],
        "test": test.students[0],
        "test_top5": test.students_top5[0],
        "summary_test": found.summary.shipped.test,
        "test_rows": test.rows,
        "classes": len(data.classes),
    }


def _some(classes: Sequence[str]) -> str:
    return f"{len(classes)} classes ({', '.join(classes[:5])}{', ...' if len(classes) > 5 else ''})"


def export(
    run: str | Path,
    *,
    student: int | None = None,
    format: Format = "safetensors",
    reestimate_bn: bool = False,
    output: str | Path | None = None,
) -> Path:
    """Write one student of a finished run as a plain network, with a model card beside it.

    Args:
        run: the run folder.
        student: number, from 0, as trained after the last epoch; by default the shipped one.
        format: `safetensors` (weights, rebuilt by the lines on the card), `onnx` (needs `studygroup[onnx]`; the
            number of rows stays free, and that of tokens where the network leaves it free), or `pickle`
            (the module itself, for `torch.load(..., weights_only=False)`).
        reestimate_bn: whether to re-estimate batch-norm statistics on the training rows first.
        output: the file, or an existing folder; by default `RUN/export/student-<k>.<suffix>`.

    Returns:
        The file that was written.

    Raises:
        ValueError: the folder holds no finished run, or the run has no such student.
    """
    cpu = torch.device("cpu")
    with load_run(run) as found:
        before, students = found.summary.shipped, found.summary.run.students
        number = before.student if student is None else student
        if not 0 <= number < students:
            raise ValueError(f"student {number} is not one of 0 to {students - 1}; give one of those")
        net = found.load() if student is None else found.task().shipped.export(number).eval()
        if reestimate_bn:
            found.reestimate_bn(net, device=cpu)
        name = f"student-{number}.{SUFFIXES[format]}"
        path = found.folder.path / "export" / name if output is None else Path(output)
        path = path / name if path.is_dir() else path
        build, data = found.settings.builder(found.data), found.data
        rows, _ = data.test[torch.arange(min(2, len(data.test)))]
        WRITERS[format](net, path, build, data, found.datamodule.inputs(rows))
        test = score_net(net, found.datamodule.evaluation_batches(data.test, cpu))
        shipped = dataclasses.replace(
            before,
            student=number,
            epoch=before.epoch if student is None else found.summary.run.epochs,
            select=before.select if student is None else "by hand",
            holdout=accuracy(net, found.datamodule.evaluation_batches(data.holdout, cpu)),
            test=test.students[0],
            test_top5=test.students_top5[0],
            reestimated_bn=reestimate_bn or (student is None and before.reestimated_bn),
        )
        summary = dataclasses.replace(found.summary, shipped=shipped)
        said = model_card(summary, lines=LOADING_LINES[format](path, build), file=path.name)
        write_text(card_path(path), said)
    return path
