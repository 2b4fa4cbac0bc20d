"""The shipped network: its file, its model card, and how both are turned back into a network."""

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor, nn

from studygroup import models, seeding
from studygroup.data import Data
from studygroup.files import write_atomically
from studygroup.inputs import Inputs, count_rows, logits
from studygroup.task import CollaborativeLearning
from studygroup.training.feed import Feed
from studygroup.training.folder import WEIGHTS
from studygroup.training.noise import noise_words
from studygroup.training.scores import TOP5_FROM

_KEY = "studygroup"
CONFIGURATION = "configuration"
"""Folder beside the file that holds a Hugging Face network's configuration."""


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
    metadata = {_KEY: json.dumps(facts)}  # a single entry: safetensors shuffles the order of several

    def write(temporary: Path) -> None:
        # mixed memory formats (channels_last) become contiguous in the file; the values stay equal
        safetensors.torch.save_model(net, str(temporary), metadata=metadata)

    data.form.save(path.parent)
    save = getattr(getattr(net, "config", None), "save_pretrained", None)
    if save is not None:
        save(path.parent / CONFIGURATION)
    write_atomically(path, write)


def _rebuilding(builder: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the arguments that rebuild the network of a shipped file, without access to the Hugging Face hub."""
    folder = path.parent / CONFIGURATION
    if not folder.is_dir():
        return builder
    return {"name": f"huggingface/{folder}", "classes": builder["classes"]}


def read_facts(path: Path) -> dict[str, Any]:
    """Read the metadata of a shipped file: `build`, `classes` and `form`, as `save_net` wrote them.

    Args:
        path: a file that `save_net` wrote.

    Raises:
        ValueError: the file is missing, damaged, or not of this kind.
    """
    if not path.is_file():
        raise ValueError(f"{path} is not there; give the folder of a finished run, or a network's file")
    try:
        with safe_open(path, framework="pt") as file:
            facts: dict[str, Any] = json.loads((file.metadata() or {})[_KEY])
            return facts
    except (OSError, KeyError, safetensors.SafetensorError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{path} cannot be loaded ({error!r}); `studygroup export RUN --student K` writes any student of a finished "
        "run anew, to RUN/export"
    )


def load_net(path: Path) -> nn.Module:
    """Load the shipped network, in `eval` mode and in the precision of its file, on the CPU.

    Args:
        path: a file that `save_net` wrote.

    Raises:
        ValueError: the file is missing or damaged, or holds no arguments to rebuild the network.
    """
    try:
        net = models.build(**_rebuilding(read_facts(path)["build"], path))
        with safe_open(path, framework="pt") as file:
            kinds = (file.get_tensor(name).dtype for name in file.keys())  # noqa: SIM118  (it is no mapping)
            net.to(next(kind for kind in kinds if kind.is_floating_point))
        safetensors.torch.load_model(net, path)
    except (OSError, safetensors.SafetensorError) as error:
        raise _damaged(path, error) from error
    return net.eval()


def loading_lines(path: Path, *, builder: dict[str, Any]) -> str:
    """Return the three lines of Python that load the shipped network.

    Args:
        path: the safetensors file.
        builder: as in `save_net`.
    """
    builder = _rebuilding(builder, path)
    arguments = ", ".join(f"{key}={value!r}" for key, value in builder.items() if key != "name")
    return (
        "import safetensors.torch, studygroup.models\n"
        f"net = studygroup.models.build({builder['name']!r}, {arguments})\n"
        f"safetensors.torch.load_model(net.eval(), {str(path)!r})"
    )


def reestimate_bn(net: nn.Module, feed: Feed, task: CollaborativeLearning, *, device: torch.device) -> None:
    """Re-estimate the batch-norm statistics of one network on all training rows, in place.

    The rows are augmented and normalised as in training, in batches of the training's size, because that is the
    mixture whose statistics the weights have learnt to expect.

    Args:
        net: the exported network.
        feed: provides the training rows.
        task: decides how rows are batched; where students have their own subsets, every batch mixes the rows of all.
        device: the device to compute on.
    """
    torch.manual_seed(seeding.derive(feed.seed, "reestimate"))  # dropout
    feed.to(device)
    batches = enumerate(feed.training_batches(task, epoch=0))
    inputs = (feed.training_inputs(batch.to(device).inputs, step=step) for step, batch in batches)
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


def card(summary: dict[str, Any], *, lines: str, file: str = WEIGHTS) -> str:
    """Render the model card of the shipped network as Markdown.

    Args:
        summary: the run's summary.
        lines: the three lines that load the network.
        file: name of the network's file, which `studygroup predict` needs unless it is the default one.
    """
    run, test, shipped = summary["run"], summary["test"], summary["shipped"]
    baseline = summary.get("baseline")
    beside = f"| plain baseline | {baseline['test']:.2%} |\n" if baseline else ""
    many = len(run["classes"]) >= TOP5_FROM
    top5 = f"| this network, top-5 | {shipped['test_top5']:.2%} |\n" if many else ""
    asked = "TEXT" if "vocabulary" in run["model"] else "IMAGE_FILE"
    asked += "" if file == WEIGHTS else f" --folder {file}"
    answers = f"`studygroup predict {asked}` answers from this folder alone.\n"
    answers = answers if file.endswith(".safetensors") else ""
    noise = f"\n{noise_words(summary)}\n" if noise_words(summary) else ""
    estimated = "; batch-norm statistics taken anew before scoring" if shipped["reestimated_bn"] else ""
    return f"""# {run["model"]["name"]} on {run["data"]}

One plain network, trained with `{run["recipe"]}` by studygroup. It needs
nothing of the method at inference.

```python
{lines}
```

Input: {run["input"]}
{answers}Output: logits of {len(run["classes"])} classes: {", ".join(run["classes"])}.

## How it was trained

{run["students"]} student(s), {run["epochs"]} epochs, {run["updates"]} updates, seed {run["seed"]},
on {run["train_rows"]} rows; student {shipped["student"]} after epoch {shipped["epoch"]} was chosen on
{summary["holdout"]["rows"]} held-out rows
(`select={shipped["select"]}`, {shipped["holdout"]:.2%} there){estimated}. All settings: `config.yaml`.
{noise}
## Scores on {test["rows"]} test rows

| | accuracy |
|---|---|
| **this network** | **{shipped["test"]:.2%}** |
{top5}| mean over students ± std (n = {run["students"]}) | {test["mean"]:.2%} ± {test["std"]:.2%} |
| ensemble of all students | {test["ensemble"]:.2%} |
{beside}
The rows were scored once, after the choice. One run, one seed: differences of a few rows are noise.
"""
