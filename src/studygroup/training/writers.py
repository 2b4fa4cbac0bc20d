"""The formats of `export`: how a run's network is written in each, and the lines of Python that load it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from studygroup import formats
from studygroup.data import Data
from studygroup.data.form import Pictures, Texts
from studygroup.data.text import PretrainedEncoder
from studygroup.files import write_atomically
from studygroup.formats.folders import CARD
from studygroup.inputs import Inputs
from studygroup.training.export import INITIAL_WEIGHTS, loading_lines, save_net

Format = Literal["safetensors", "onnx", "torch_export", "huggingface", "timm", "pickle"]


@dataclass(frozen=True)
class Job:
    """A network to write, with all that a format may need.

    Attributes:
        net: the network.
        path: the file or folder.
        build: arguments of `studygroup.models.build`.
        data: the data it was trained on.
        example: some rows of its input.
        card: the model card without the hub's header.
        accuracy: on the test rows.
    """

    net: nn.Module
    path: Path
    build: dict[str, Any]
    data: Data
    example: Inputs
    card: str
    accuracy: float

    @property
    def facts(self) -> formats.Facts:
        """The classes, and how pixels become input."""
        form, classes = self.data.form, tuple(self.data.classes)
        if not isinstance(form, Pictures):
            return formats.Facts(classes=classes)
        return formats.Facts(classes=classes, shape=form.shape, mean=form.mean, std=form.std)

    def hub_card(self, library: str) -> str:
        """Return the model card with the hub's header."""
        return formats.card(
            self.facts,
            library=library,
            name=f"{self.build['name']} on {self.data.name}",
            text=self.card,
            data=self.data.name,
            accuracy=self.accuracy,
        )


@dataclass(frozen=True)
class Writer:
    """A format.

    Attributes:
        suffix: end of the file's name; empty for a folder.
        write: writes a network.
        lines: returns the lines of Python that load it, from path and builder.
        several: whether it can hold the ensemble.
    """

    suffix: str
    write: Callable[[Job], Any]
    lines: Callable[[Path, dict[str, Any]], str]
    several: bool = True


def card_path(path: Path) -> Path:
    """Return the path of the model card of an export: in its folder, or beside its file, one for each format."""
    return path / CARD if path.is_dir() else path.with_name(f"{path.name}.md")


def _safetensors(job: Job) -> None:
    save_net(job.net, job.path, builder=job.build, data=job.data)


def _pickle(job: Job) -> None:
    job.data.form.save(job.path.parent)
    write_atomically(job.path, lambda temporary: torch.save(job.net, temporary))


def _onnx(job: Job) -> None:
    formats.save_onnx(job.net, job.path, example=job.example, facts=job.facts)
    job.data.form.save(job.path.parent)


def _program(job: Job) -> None:
    formats.save_program(job.net, job.path, example=job.example, facts=job.facts)
    job.data.form.save(job.path.parent)


def _huggingface(job: Job) -> None:
    form = job.data.form

    def beside(folder: Path) -> None:
        form.save(folder)
        if isinstance(form, Texts) and isinstance(form.encoder, PretrainedEncoder):
            for name, content in form.encoder.files.items():  # where AutoTokenizer looks for them, too
                (folder / name).write_bytes(content)

    card = job.hub_card("transformers")
    formats.save_huggingface(
        job.net, job.path, example=job.example, facts=job.facts, card=card, beside=beside
    )


def _timm(job: Job) -> None:
    if not isinstance(job.example, Tensor):
        raise ValueError("timm's networks read pictures, and this run's rows are texts; give another format")
    other = ("name", "classes", "channels", *INITIAL_WEIGHTS)
    options = {name: value for name, value in job.build.items() if name not in other}
    card = job.hub_card("timm")
    formats.save_timm(job.net, job.path, example=job.example, facts=job.facts, options=options, card=card)


def _onnx_lines(path: Path, build: dict[str, Any]) -> str:
    given = "inputs" if "vocabulary" in build else "{session.get_inputs()[0].name: images}"
    return (
        "import json, onnxruntime\n"
        f"session = onnxruntime.InferenceSession({str(path)!r})\n"
        f"logits = session.run(None, {given})[0]\n"
        'classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])'
    )


def _pickle_lines(path: Path, build: dict[str, Any]) -> str:
    return f"import torch\nnet = torch.load({str(path)!r}, weights_only=False)\nnet.eval()"


def _program_lines(path: Path, build: dict[str, Any]) -> str:
    return f"import torch\nnet = torch.export.load({str(path)!r}).module()"


def _huggingface_lines(path: Path, build: dict[str, Any]) -> str:
    return (
        "from transformers import AutoModelForSequenceClassification\n"
        f"net = AutoModelForSequenceClassification.from_pretrained({str(path)!r})"
    )


def _timm_lines(path: Path, build: dict[str, Any]) -> str:
    return f"import timm\nnet = timm.create_model({f'local-dir:{path}'!r}, pretrained=True).eval()"


WRITERS: dict[Format, Writer] = {
    "safetensors": Writer(
        ".safetensors", _safetensors, lambda path, build: loading_lines(path, builder=build), several=False
    ),
    "onnx": Writer(".onnx", _onnx, _onnx_lines),
    "torch_export": Writer(".pt2", _program, _program_lines),
    "huggingface": Writer("-huggingface", _huggingface, _huggingface_lines, several=False),
    "timm": Writer("-timm", _timm, _timm_lines, several=False),
    "pickle": Writer(".pt", _pickle, _pickle_lines),
}
"""How each format is written."""
