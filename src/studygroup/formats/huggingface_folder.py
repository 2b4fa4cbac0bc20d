"""A network of transformers as a folder that `from_pretrained` opens."""

import copy
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from studygroup.extras import missing
from studygroup.formats.answers import check_classes, check_same, evaluated
from studygroup.formats.facts import Facts
from studygroup.formats.folders import CARD, write_folder
from studygroup.formats.hub_card import card as made_card
from studygroup.inputs import Inputs, logits


def save_huggingface(
    net: nn.Module,
    folder: str | Path,
    *,
    example: Inputs,
    facts: Facts,
    card: str | None = None,
    beside: Callable[[Path], Any] | None = None,
) -> None:
    """Write a network of transformers as a folder that `from_pretrained` opens, with the names of its classes.

    Args:
        net: a `PreTrainedModel`, as exported from a group.
        folder: the folder.
        example: a row or more, as the network takes them.
        facts: the classes; for pictures, mean, deviation and size become the folder's image processor.
        card: the model card, see `card`; omitted, a short one.
        beside: called with the folder to write more into it, such as `tokenizer.save_pretrained`.

    Raises:
        ValueError: a network that is not from transformers, other classes than the facts', a folder that holds
            something else, or other answers from the folder than from the network.
    """
    try:
        from transformers import PreTrainedModel
    except ImportError as error:
        raise missing("a folder for from_pretrained", "text", error) from error
    if not isinstance(net, PreTrainedModel):
        raise ValueError(
            f"{type(net).__name__} is no network of transformers, and has no configuration for from_pretrained; give "
            "the format timm for a network of timm, or safetensors, onnx or torch_export for any"
        )
    check_classes(net, example, facts)
    text = made_card(facts, library="transformers", name=type(net).__name__) if card is None else card

    def write(new: Path) -> None:
        with evaluated(net):
            net.save_pretrained(new)
        config = copy.deepcopy(net.config)
        for name in _CODE:
            if hasattr(config, name):
                delattr(config, name)
        config.id2label = dict(enumerate(facts.classes))
        config.label2id = {name: number for number, name in enumerate(facts.classes)}
        config.save_pretrained(new)
        if facts.shape is not None:
            (new / "preprocessor_config.json").write_text(json.dumps(_processor(facts), indent=2) + "\n")
        if beside is not None:
            beside(new)
        (new / CARD).write_text(text, encoding="utf-8")
        try:
            again = type(net).from_pretrained(new, dtype=net.dtype)
        except Exception as error:  # of any kind, for a configuration that brings more than a network
            said = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise ValueError(
                f"transformers does not open {folder} again ({said:.400}); correct the network's configuration"
            ) from error
        again.train(False)
        check_same(net, partial(logits, again), example, Path(folder))

    write_folder(Path(folder), write)


_CODE = ("auto_map", "custom_pipelines")
"""What would have others execute code that does not come with the folder."""


def _processor(facts: Facts) -> dict[str, Any]:
    """Return the configuration of the image processor that normalises as in training."""
    assert facts.shape is not None
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": facts.shape[1], "width": facts.shape[2]},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(facts.mean or ()),
        "image_std": list(facts.std or ()),
    }
