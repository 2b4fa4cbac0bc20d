"""Score a finished run again, and export any student's plain network in any format."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from studygroup.data import Data
from studygroup.extras import missing
from studygroup.files import write_atomically, write_text
from studygroup.inputs import Inputs
from studygroup.training.finished import reopened
from studygroup.training.scores import accuracy, score_net
from studygroup.training.ship import card, loading_lines, save_net

Format = Literal["safetensors", "onnx", "pickle"]
_SUFFIX = {"safetensors": "safetensors", "onnx": "onnx", "pickle": "pt"}


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
    with reopened(run) as found:
        net, data = found.net(), found.data
        holdout, test = (score_net(net, found.feed.scored(split, cpu)) for split in (data.holdout, data.test))
    return {
        "holdout": holdout.students[0],
        "holdout_top5": holdout.students_top5[0],
        "test": test.students[0],
        "test_top5": test.students_top5[0],
        "summary_test": found.summary["shipped"]["test"],
        "test_rows": test.rows,
        "classes": len(data.classes),
    }


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
    with reopened(run) as found:
        before, students = found.summary["shipped"], found.summary["run"]["students"]
        number = before["student"] if student is None else student
        if not 0 <= number < students:
            raise ValueError(f"student {number} is not one of 0 to {students - 1}; give one of those")
        net = found.net() if student is None else found.task().shipped.export(number).eval()
        if reestimate_bn:
            found.reestimate_bn(net, device=cpu)
        name = f"student-{number}.{_SUFFIX[format]}"
        path = found.folder.path / "export" / name if output is None else Path(output)
        path = path / name if path.is_dir() else path
        build, data = found.settings.builder(found.data), found.data
        rows, _ = data.test[torch.arange(min(2, len(data.test)))]
        _WRITERS[format](net, path, build, data, found.feed.inputs(rows))
        test = score_net(net, found.feed.scored(data.test, cpu))
        shipped = before | {
            "student": number,
            "epoch": before["epoch"] if student is None else found.settings.epochs,
            "select": before["select"] if student is None else "by hand",
            "holdout": accuracy(net, found.feed.scored(data.holdout, cpu)),
            "test": test.students[0],
            "test_top5": test.students_top5[0],
            "reestimated_bn": reestimate_bn or (student is None and before["reestimated_bn"]),
        }
        said = card(found.summary | {"shipped": shipped}, lines=_LINES[format](path, build), file=path.name)
        write_text(card_of(path), said)
    return path


def card_of(path: Path) -> Path:
    """Return the path of the model card beside an exported file; every format of a student has its own."""
    return path.with_name(f"{path.name}.md")


def _write_safetensors(
    net: nn.Module, path: Path, build: dict[str, Any], data: Data, example: Inputs
) -> None:
    save_net(net, path, builder=build, data=data)


def _write_pickle(net: nn.Module, path: Path, build: dict[str, Any], data: Data, example: Inputs) -> None:
    data.form.save(path.parent)
    write_atomically(path, lambda temporary: torch.save(net, temporary))


def _write_onnx(net: nn.Module, path: Path, build: dict[str, Any], data: Data, example: Inputs) -> None:
    data.form.save(path.parent)
    sizes = torch.export.Dim
    if isinstance(example, Tensor):
        given: dict[str, Any] = {"args": (example,), "dynamic_shapes": ({0: sizes("rows")},)}
    else:
        shapes = {name: {0: sizes.DYNAMIC, 1: sizes.AUTO} for name in example}  # some networks fix the length
        given = {"args": (), "kwargs": dict(example), "dynamic_shapes": shapes}
    try:
        program = torch.onnx.export(net, **given, dynamo=True, verbose=False)
    except ImportError as error:
        raise missing("ONNX", "onnx", error) from error
    assert program is not None
    write_atomically(path, program.save)


def _onnx_lines(path: Path, build: dict[str, Any]) -> str:
    given = "inputs" if "vocabulary" in build else "{session.get_inputs()[0].name: images}"
    return (
        "import onnxruntime\n"
        f"session = onnxruntime.InferenceSession({str(path)!r})\n"
        f"logits = session.run(None, {given})[0]"
    )


def _pickle_lines(path: Path, build: dict[str, Any]) -> str:
    return f"import torch\nnet = torch.load({str(path)!r}, weights_only=False)\nnet.eval()"


_WRITERS: dict[str, Callable[[nn.Module, Path, dict[str, Any], Data, Inputs], None]] = {
    "safetensors": _write_safetensors,
    "pickle": _write_pickle,
    "onnx": _write_onnx,
}
_LINES: dict[str, Callable[[Path, dict[str, Any]], str]] = {
    "safetensors": lambda path, build: loading_lines(path, builder=build),
    "pickle": _pickle_lines,
    "onnx": _onnx_lines,
}
