"""Predictions of a shipped network from its folder alone: its weights, and its tokenizer where it reads texts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from studygroup.checks import check_whole
from studygroup.data.form import TOKENIZER, Form, load_form
from studygroup.inputs import logits
from studygroup.training.export import damaged, load_net, read_facts
from studygroup.training.folder import WEIGHTS
from studygroup.trust import NotAllowedError
from studygroup.untrusted import check_tree

_AT_ONCE = 64


@dataclass(frozen=True)
class Prediction:
    """The prediction for one input.

    Attributes:
        label: name of the likeliest class.
        probability: probability of that class, in [0, 1].
        probabilities: probabilities by class name: of all classes, adding up to 1, or of the likeliest.
    """

    label: str
    probability: float
    probabilities: dict[str, float]


@dataclass(frozen=True)
class Shipped:
    """A shipped network with everything needed to predict.

    Attributes:
        net: the plain network, in `eval` mode, on the CPU.
        form: converts texts or image files to network input.
        classes: class names, in the order of the logits.
    """

    net: nn.Module
    form: Form
    classes: tuple[str, ...]

    @torch.inference_mode()
    def __call__(self, inputs: Sequence[str]) -> list[Prediction]:
        """Predict the class of every input.

        Args:
            inputs: texts, or paths of image files, as the network was trained on.

        Raises:
            ValueError: an image cannot be read, or an answer is not a number.
        """
        ready = self.form.ready(channels_last=False).to(next(self.net.parameters()).dtype)
        found: list[Prediction] = []
        for start in range(0, len(inputs), _AT_ONCE):
            rows = self.form.read(inputs[start : start + _AT_ONCE])
            shares = logits(self.net, ready(rows)).float().softmax(-1).tolist()
            if any(math.isnan(number) for share in shares for number in share):
                raise ValueError("the network's answer is not a number: its weights are damaged")
            found += [self._prediction(share) for share in shares]
        return found

    def _prediction(self, shares: Sequence[float]) -> Prediction:
        likeliest = max(range(len(shares)), key=shares.__getitem__)
        named = dict(zip(self.classes, shares, strict=True))
        return Prediction(self.classes[likeliest], shares[likeliest], named)


def load_shipped(folder: str | Path) -> Shipped:
    """Load a shipped network with its preprocessing and its class names.

    Args:
        folder: a folder with `student.safetensors` (a run folder, or a copy of that file with the folder `tokenizer`
            beside it), or another such file that `studygroup export` wrote.

    Raises:
        ValueError: a file is missing or damaged.
    """
    path = Path(folder)
    if path.is_file() and path.suffix != ".safetensors":
        raise ValueError(
            f"{path} is no .safetensors file, which alone says how inputs are read; write one with `studygroup "
            "export RUN --format safetensors`, or give the folder of a run"
        )
    path = path / WEIGHTS if path.is_dir() or path.suffix != ".safetensors" else path
    facts = read_facts(path)
    check_tree(path.parent / TOKENIZER)
    try:
        form = load_form(facts.form, path.parent)
        for name, size in form.sizes.items():
            if facts.build.get(name, size) != size:
                raise ValueError(
                    f"has header.build.{name}={facts.build[name]!r:.80}, where inputs by header.form have {size}"
                )
    except NotAllowedError:
        raise
    except ValueError as error:
        raise damaged(path, error) from error
    return Shipped(load_net(path), form, facts.classes)


def predict(inputs: Sequence[str], *, folder: str | Path = ".", top: int | None = None) -> list[Prediction]:
    """Predict with a shipped network.

    Example:
        >>> predict(["a film to remember"], folder="runs/cgl-imdb-0")[0].label

    Args:
        inputs: texts, or paths of image files, as the network was trained on.
        folder: the run folder, or any other that holds the shipped files.
        top: keep only so many of the likeliest classes, the likeliest first; by default all, in the network's order.

    Raises:
        ValueError: a file is missing or damaged, there are no inputs, or `top` is below 1.
    """
    if not inputs:
        raise ValueError("there is nothing to predict for; give a text, or the path of an image file")
    if top is not None:
        check_whole("top", top, least=1)
    found = load_shipped(folder)(list(inputs))
    return found if top is None else [_likeliest(one, top) for one in found]


def _likeliest(one: Prediction, top: int) -> Prediction:
    """Return a prediction with the likeliest classes alone, the likeliest first."""
    ranked = sorted(one.probabilities.items(), key=lambda item: -item[1])
    return replace(one, probabilities=dict(ranked[:top]))
