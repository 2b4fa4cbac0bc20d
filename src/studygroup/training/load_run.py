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

from studygroup import formats
from studygroup.data import Data
from studygroup.ensembling import ensemble as ensemble_of
from studygroup.files import write_text
from studygroup.task import CollaborativeLearning
from studygroup.training.checkpoints import newest_of_run
from studygroup.training.computing import computing
from studygroup.training.datamodule import DataModule
from studygroup.training.describe import model_card
from studygroup.training.export import load_net, read_facts, reestimate_bn
from studygroup.training.folder import RunFolder
from studygroup.training.provenance import changes, read_provenance
from studygroup.training.scores import accuracy, score_net
from studygroup.training.settings import Settings
from studygroup.training.summary import Summary
from studygroup.training.writers import WRITERS, Format, Job, card_path
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
        """The data that it was trained on.

        Raises:
            ValueError: there are others by now where these were.
        """
        data, before = self.settings.load_data(), read_provenance(self.folder)
        other = changes(before.data, data.fingerprint) if before is not None else []
        if not other and read_facts(self.folder.weights).form != data.form.facts:
            other = ["how rows are read"]
        if other:
            raise ValueError(
                f"the data of {self.folder.path} are others than it was trained on ({', '.join(other)} differ); put "
                "these back; `studygroup predict` needs none"
            )
        return data

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

    Raises:
        NotAllowedError: its configuration names code that nobody allowed, or it holds pipes or links.
        ValueError: the folder holds no finished run, or its files or data are damaged.
    """
    folder = RunFolder(Path(run))
    check_tree(folder.path)
    found = Run(folder, folder.read_summary())
    with computing(found.settings):
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
    ensemble: bool = False,
    format: Format = "safetensors",
    reestimate_bn: bool = False,
    output: str | Path | None = None,
    push: str | None = None,
) -> Path:
    """Write one student of a finished run, or all as one ensemble, with a model card.

    Args:
        run: the run folder.
        student: number, from 0, as trained after the last epoch; by default the shipped one.
        ensemble: whether to write all students as one module that answers with the mean of their probabilities; as
            `onnx`, `torch_export` or `pickle`.
        format: `safetensors` (weights, rebuilt by the lines on the card), `onnx` (needs `studygroup[onnx]`; classes,
            mean and deviation are in its metadata), `torch_export` (a program that runs without the network's class),
            `huggingface` (a folder for `from_pretrained`, of networks of transformers), `timm` (a folder for
            `timm.create_model("local-dir:FOLDER", pretrained=True)`, of timm's networks), or `pickle` (the module
            itself, for `torch.load(..., weights_only=False)`). All but `safetensors` and `pickle` are opened again
            and compared with the network.
        reestimate_bn: whether to re-estimate batch-norm statistics on the training rows first.
        output: the file, or an existing folder; by default `RUN/export/student-<k>` with the format's ending.
        push: `OWNER/NAME` on the Hugging Face hub, to which a folder for transformers or timm is sent, too; a new
            repository is private.

    Returns:
        The file or folder that was written.

    Raises:
        ValueError: the folder holds no finished run, the run has no such student, a format that cannot hold what is
            asked for, or a hub that refuses it.
    """
    cpu, writer = torch.device("cpu"), WRITERS[format]
    _check_asked(student=student, ensemble=ensemble, format=format, push=push)
    with load_run(run) as found:
        before, students = found.summary.shipped, found.summary.run.students
        number = before.student if student is None else student
        if not 0 <= number < students:
            raise ValueError(f"student {number} is not one of 0 to {students - 1}; give one of those")
        if ensemble:
            net: nn.Module = ensemble_of(found.task())
        else:
            net = found.load() if student is None else found.task().shipped.export(number).eval()
        if reestimate_bn:
            found.reestimate_bn(net, device=cpu)
        name = f"{'ensemble' if ensemble else f'student-{number}'}{writer.suffix}"
        path = found.folder.path / "export" / name if output is None else Path(output)
        path = path / name if output is not None and path.is_dir() else path
        build, data = found.settings.builder(found.data), found.data
        test = score_net(net, found.datamodule.evaluation_batches(data.test, cpu))
        shipped = dataclasses.replace(
            before,
            student=number,
            epoch=before.epoch if student is None and not ensemble else found.summary.run.epochs,
            select=before.select if student is None else "by hand",
            select_by=before.select_by if student is None else None,
            holdout=accuracy(net, found.datamodule.evaluation_batches(data.holdout, cpu)),
            test=test.students[0],
            test_top5=test.students_top5[0],
            reestimated_bn=reestimate_bn or (student is None and before.reestimated_bn and not ensemble),
        )
        summary = dataclasses.replace(found.summary, shipped=shipped)
        card = model_card(summary, lines=writer.lines(path, build), file=path.name, ensemble=ensemble)
        rows, _ = data.test[torch.arange(min(2, len(data.test)))]
        writer.write(Job(net, path, build, data, found.datamodule.inputs(rows), card, shipped.test))
        if not path.is_dir():  # a folder has its own, with the hub's header
            write_text(card_path(path), card)
    if push is not None:
        formats.push(path, push)
    return path


def _check_asked(*, student: int | None, ensemble: bool, format: Format, push: str | None) -> None:
    """Refuse what a format cannot give, before anything is loaded."""
    several = [name for name, writer in WRITERS.items() if writer.several]
    if ensemble and format not in several:
        raise ValueError(
            f"the format {format} holds one network, and an ensemble is several; give one of {', '.join(several)}"
        )
    if ensemble and student is not None:
        raise ValueError(f"student={student} and ensemble=True are two things to export; give one of them")
    folders = [name for name, writer in WRITERS.items() if "." not in writer.suffix]
    if push is not None and format not in folders:
        raise ValueError(f"the hub gets a folder, and {format} is a file; give one of {', '.join(folders)}")
