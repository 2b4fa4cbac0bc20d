"""The file that ships, a plain network's weights with what rebuilds it, and how it is turned back into a network."""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn.modules.module import register_module_module_registration_hook

from studygroup import models, seeding
from studygroup._engine.ranks import alone
from studygroup.data import Data
from studygroup.files import read_object, write_atomically
from studygroup.inputs import Inputs, count_rows, logits
from studygroup.task import CollaborativeLearning
from studygroup.training.by_path import names_code
from studygroup.training.datamodule import DataModule
from studygroup.training.parts import check_import
from studygroup.training.plain import as_kind
from studygroup.training.trust import check_options, reading
from studygroup.trust import NotAllowedError
from studygroup.untrusted import check_file, check_tree, parse_json

_KEY = "studygroup"
CONFIGURATION = "configuration"
"""Folder beside the file that holds a Hugging Face network's configuration."""
INITIAL_WEIGHTS = (
    *("pretrained", "checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay"),  # timm's
    *("weights", "weights_backbone"),  # torchvision's
)
"""Arguments of a network that say which weights it begins with."""


def save_net(net: nn.Module, path: Path, *, builder: dict[str, Any], data: Data) -> None:
    """Write a plain network's weights with the arguments that rebuild it, and its preprocessing.

    Args:
        net: the network; tied weights are stored once.
        path: the safetensors file, written atomically. What does not fit into that file, a tokenizer or the
            configuration of a Hugging Face network, is written beside it.
        builder: `name`, `classes`, sizes and options for `studygroup.models.build`.
        data: the data it was trained on.
    """
    facts = {"build": builder, "classes": list(data.classes), "form": data.form.facts}
    configuration = path.parent / CONFIGURATION
    save = getattr(getattr(net, "config", None), "save_pretrained", None)
    if save is not None:
        _save_configuration(save, configuration)
        facts["configuration"] = _sum(configuration)
    metadata = {_KEY: json.dumps(facts)}  # a single entry: safetensors shuffles the order of several

    def write(temporary: Path) -> None:
        # mixed memory formats (channels_last) become contiguous in the file; the values stay equal
        safetensors.torch.save_model(net, str(temporary), metadata=metadata)

    data.form.save(path.parent)
    write_atomically(path, write)


def _save_configuration(save: Callable[[Path], Any], folder: Path) -> None:
    """Write a network's configuration, unless another network's is there, which files there are rebuilt by."""
    with TemporaryDirectory() as place:
        save(Path(place))
        if folder.exists() and _sum(folder) != _sum(Path(place)):
            raise ValueError(f"{folder} is that of another network there; give a folder of its own")
    save(folder)


def _sum(folder: Path) -> str:
    """Return the checksum of a configuration, whichever version of transformers wrote it."""
    content = read_object(folder / "config.json", way_out="put the network's own back")
    content.pop("transformers_version", None)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _rebuilding(builder: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the arguments that rebuild the network of a shipped file, without access to the Hugging Face hub."""
    folder = path.parent / CONFIGURATION
    theirs = builder["name"].startswith("huggingface/") or names_code("model", builder["name"])
    if not folder.is_dir() or not theirs:
        return builder
    check_tree(folder)
    return {"name": f"huggingface/{folder}", "classes": builder["classes"]}


def _from_file(builder: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the arguments that rebuild the network of a file, without what a file does not decide.

    Weights are the file's own, so none are fetched.
    """
    check_options(builder, path, "build")
    if names_code("model", builder["name"]):
        with reading(path, {"build": builder}):
            check_import(builder["name"])
    return {key: value for key, value in builder.items() if key not in INITIAL_WEIGHTS}


def _check_size(builder: dict[str, Any], path: Path) -> None:
    """Refuse arguments of a network that is far larger than the tensors of its file, before it is built.

    Networks that cannot be built without memory are left to the comparison of their tensors.
    """
    with safe_open(path, framework="pt") as file:
        shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118
    there = sum(map(math.prod, shapes))
    try:
        with torch.device("meta"), _few_modules(_MODULES * (1 + len(shapes))):
            asked = sum(value.numel() for value in models.build(**builder).state_dict().values())
    except (TypeError, ValueError):
        raise
    except Exception:
        return
    if asked > _LARGER * there + _LARGER:
        raise ValueError(f"it describes a network of {asked:,} numbers and holds {there:,}")


_LARGER = 2  # times as many numbers as in the file: tied weights lie there once
_MODULES = 50  # times as many modules as tensors in the file: most have several, and some have none


@contextmanager
def _few_modules(most: int) -> Iterator[None]:
    """Let a network be built of so many modules at most.

    Raises:
        ValueError: it has more.
    """
    left = most

    def count(module: nn.Module, name: str, inner: nn.Module | None) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise ValueError(f"it describes a network of more than {most:,} modules, many times its tensors")

    handle = register_module_module_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()


@dataclass(frozen=True)
class ShippedFacts:
    """The metadata of a shipped file, as `save_net` wrote them.

    Attributes:
        build: arguments of `studygroup.models.build`.
        classes: names of the classes, in the order of the logits.
        form: what turns rows into network input, as plain values.
        configuration: checksum of the configuration beside it, of networks of transformers.
    """

    build: Mapping[str, Any]
    classes: tuple[str, ...]
    form: Mapping[str, Any]
    configuration: str | None = None


def read_facts(path: Path) -> ShippedFacts:
    """Read the metadata of a shipped file.

    Args:
        path: a file that `save_net` wrote.

    Raises:
        ValueError: the file is missing, damaged, or not of this kind.
    """
    check_file(path, folder=path.parent)
    if not path.is_file():
        raise ValueError(f"{path} is not there; give the folder of a finished run, or a network's file")
    try:
        with safe_open(path, framework="pt") as file:
            content = parse_json((file.metadata() or {})[_KEY])
        facts: ShippedFacts = as_kind(ShippedFacts, content, "header")
        _check_facts(facts)
    except KeyError as error:
        raise damaged(path, ValueError(f"its header has no {_KEY!r}")) from error
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise damaged(path, error) from error
    return facts


def _check_facts(facts: ShippedFacts) -> None:
    """Refuse metadata that name no network, or other classes than it tells apart."""
    name, classes = facts.build.get("name"), facts.build.get("classes")
    if not isinstance(name, str):
        raise ValueError(f"has header.build.name={name!r:.80}, which is no str")
    if type(classes) is not int or classes < 1:
        raise ValueError(f"has header.build.classes={classes!r:.80}, which is no number of classes")
    if len(set(facts.classes)) != classes or len(facts.classes) != classes:
        raise ValueError(
            f"has {len(facts.classes)} names in header.classes, {len(set(facts.classes))} of them different, where "
            f"header.build.classes is {classes}"
        )


def damaged(path: Path, error: Exception) -> ValueError:
    """Return the error that says why a shipped file cannot be used, and how to write it anew."""
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return ValueError(
        f"{path} cannot be loaded ({said:.600}); `studygroup export RUN --student K` writes any student of a "
        "finished run anew, to RUN/export"
    )


def load_net(path: Path) -> nn.Module:
    """Load the shipped network, in `eval` mode and in the precision of its file, on the CPU.

    Args:
        path: a file that `save_net` wrote.

    Raises:
        NotAllowedError: it names a network of one's own, and nobody allowed its module.
        ValueError: the file is missing or damaged, or holds no arguments to rebuild the network.
    """
    facts = read_facts(path)
    builder = _from_file(_rebuilding(dict(facts.build), path), path)
    try:
        if facts.configuration is not None and facts.configuration != _sum(path.parent / CONFIGURATION):
            raise ValueError(f"{path.parent / CONFIGURATION} is that of another network; put its own back")
        _check_size(builder, path)
        net = models.build(**builder)
        with safe_open(path, framework="pt") as file:
            kinds = {name: file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118  (it is no mapping)
        net.to(next((kind for kind in kinds.values() if kind.is_floating_point), None))
        for name, value in net.state_dict().items():
            if kinds.get(name, value.dtype) != value.dtype:
                raise ValueError(f"has {name} in {kinds[name]}, where the network has it in {value.dtype}")
        safetensors.torch.load_model(net, path)
    except NotAllowedError:
        raise
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, safetensors.SafetensorError) as error:
        raise damaged(path, error) from error
    return net.eval()


def loading_lines(path: Path, *, builder: dict[str, Any]) -> str:
    """Return the three lines of Python that load the shipped network; `builder` is that of `save_net`."""
    builder = _rebuilding(builder, path)
    stray = [key for key in builder if not key.isidentifier()]
    if stray:
        raise ValueError(
            f"{path}: {stray[0]!r} is no argument of a network, and no line of code is made of it"
        )
    arguments = ", ".join(f"{key}={value!r}" for key, value in builder.items() if key != "name")
    return (
        "import safetensors.torch, studygroup.models\n"
        f"net = studygroup.models.build({builder['name']!r}, {arguments})\n"
        f"safetensors.torch.load_model(net.eval(), {str(path)!r})"
    )


def reestimate_bn(
    net: nn.Module, datamodule: DataModule, task: CollaborativeLearning, *, device: torch.device
) -> None:
    """Re-estimate the batch-norm statistics of one network on all training rows, in place.

    The rows are augmented, mixed and normalised as in training, in batches of the training's size, because that is
    what the weights have learnt to expect.

    Args:
        net: the exported network.
        datamodule: provides the training rows.
        task: decides how rows are batched; where students have their own subsets, every batch mixes the rows of all.
        device: the device to compute on.
    """
    torch.manual_seed(seeding.derive(datamodule.seed, "reestimate"))  # dropout
    datamodule.to(device)
    with alone():  # all rows, not this process's part of them
        batches = enumerate(datamodule.training_batches(task, epoch=0))
    inputs = (datamodule.training_rows(batch.to(device), step=step)[0] for step, batch in batches)
    answers = _Answers(net.to(device))
    torch.optim.swa_utils.update_bn((rows for rows in inputs if count_rows(rows) > 1), answers)
    net.eval()


class _Answers(nn.Module):
    """Wrapper that calls a network with a single argument, as `update_bn` of torch does."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, inputs: Inputs) -> Tensor:
        return logits(self.net, inputs)
