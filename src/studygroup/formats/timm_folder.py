"""A network of timm as a folder that `timm.create_model("local-dir:FOLDER", pretrained=True)` opens."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor, nn

from studygroup.extras import missing
from studygroup.formats.answers import check_classes, check_same
from studygroup.formats.facts import Facts
from studygroup.formats.folders import CARD, CONFIGURATION, write_folder
from studygroup.formats.hub_card import card as made_card

WEIGHTS = "model.safetensors"
_NOT_TAKEN = (
    "num_classes input_size mean std label_names architecture custom_load url file hf_hub_id hf_hub_filename source "
    "state_dict tag label_offset origin_url test_input_size test_crop_pct pool_size license paper_ids paper_name "
    "notes"
)
"""Keys of a network's `pretrained_cfg` that say where it came from, or are the export's own."""


def save_timm(
    net: nn.Module,
    folder: str | Path,
    *,
    example: Tensor,
    facts: Facts,
    options: Mapping[str, Any] | None = None,
    card: str | None = None,
) -> None:
    """Write a network of timm as its `config.json` with `pretrained_cfg`, its weights and a model card.

    `timm.create_model("local-dir:FOLDER", pretrained=True)` opens it, `"hf-hub:OWNER/NAME"` once it is pushed, and
    `timm.data.resolve_data_config` finds size, mean and deviation.

    Args:
        net: a network that timm built, as exported from a group.
        folder: the folder.
        example: a row or more, as the network takes them.
        facts: the classes, and how pixels become input.
        options: its further arguments, apart from classes and channels, such as `img_size` or `drop_rate`.
        card: the model card, see `card`; omitted, a short one.

    Raises:
        ValueError: a network that is not from timm, facts without pictures, other classes or pictures than the
            facts', a folder that holds something else, or other answers from the folder than from the network.
    """
    try:
        import timm
    except ImportError as error:
        raise missing("a folder for timm", "train", error) from error
    known = getattr(net, "pretrained_cfg", None)
    architecture = known.get("architecture") if isinstance(known, Mapping) else None
    if known is None or architecture is None or not timm.is_model(architecture):
        raise ValueError(
            f"{type(net).__name__} was not built by timm, and has no pretrained_cfg; give the format huggingface for "
            "a network of transformers, or safetensors, onnx or torch_export for any"
        )
    if facts.shape is None or facts.mean is None or facts.std is None:
        raise ValueError("timm's networks read pictures; give shape, mean and std in the facts")
    check_classes(net, example, facts)
    own = {
        "num_classes": len(facts.classes),
        "input_size": list(facts.shape),
        "mean": list(facts.mean),
        "std": list(facts.std),
        "crop_pct": 1.0,
        "crop_mode": "squash",  # the whole picture is scaled, as `predict` does
        "interpolation": "bilinear",
        "custom_load": False,
    }
    others = _NOT_TAKEN.split()
    taken = {key: value for key, value in known.items() if key not in others and value is not None}
    config = {
        "architecture": architecture,
        "num_classes": len(facts.classes),
        "num_features": net.num_features,
        "label_names": list(facts.classes),
        "model_args": {"in_chans": facts.shape[0], **(options or {})},
        "pretrained_cfg": taken | own,
    }
    text = made_card(facts, library="timm", name=architecture) if card is None else card

    def write(new: Path) -> None:
        (new / CONFIGURATION).write_text(json.dumps(config, indent=2) + "\n")
        safetensors.torch.save_model(net, str(new / WEIGHTS))
        (new / CARD).write_text(text, encoding="utf-8")
        again = timm.create_model(f"local-dir:{new}", pretrained=True).eval().to(next(net.parameters()).dtype)
        check_same(net, again, example, Path(folder))

    write_folder(Path(folder), write)
