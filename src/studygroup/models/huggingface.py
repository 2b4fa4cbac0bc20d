"""Sequence classifiers of the Hugging Face library, by a name on the hub or from a folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from studygroup.extras import missing
from studygroup.trust import allows_remote_code, unasked
from studygroup.untrusted import check_tree


def huggingface(
    name: str,
    classes: int,
    *,
    vocabulary: int | None = None,
    padding: int | None = None,
    pretrained: bool = False,
    trust_remote_code: bool = False,
    **options: Any,
) -> nn.Module:
    """Build any network that `transformers.AutoModelForSequenceClassification` knows.

    Students may part at the embeddings and at any block of a network that classifies by one token, as BERT does.
    Networks that look for a row's last token, or average over the mask after the last block (Llama, GPT-2), are
    routed as a whole.

    Args:
        name: of a network on the hub, whose configuration is taken from the local cache or downloaded, or a folder
            with a `config.json`.
        classes: how many classes.
        vocabulary: how many ids there are; by default as many as in the configuration.
        padding: the id that pads rows; by default the configuration's.
        pretrained: whether to load the weights, too. Their embedding table keeps its size, and the classifier is
            reinitialised if its size differs.
        trust_remote_code: whether to execute code that comes with the network; there is no prompt.
        **options: values that override the configuration's, such as `num_hidden_layers=2`.

    Returns:
        The library's own network, in single precision: from `input_ids` and `attention_mask` (N, L) to an output
        with `logits` (N, classes). Without `pretrained` its weights are fresh.

    Raises:
        ValueError: the library is missing, the name is unknown or cannot be reached, it is no sequence classifier, an
            option that its configuration does not have, or weights that do not fit.
    """
    try:
        from transformers import AutoConfig, AutoModelForSequenceClassification
    except ImportError as error:
        raise missing(repr(name), "text", error) from error
    folder = Path(name).expanduser()
    place = str(folder) if folder.is_dir() else name
    check_tree(Path(place))
    code = {"trust_remote_code": trust_remote_code or allows_remote_code()}
    sizes = {"vocab_size": None if pretrained else vocabulary, "pad_token_id": padding}
    given = {key: value for key, value in sizes.items() if value is not None} | options
    with _told(name):
        config, unknown = AutoConfig.from_pretrained(
            place, return_unused_kwargs=True, num_labels=classes, **code, **given
        )
    if unknown:
        raise ValueError(
            f"the configuration of {name!r} has no {', '.join(map(repr, unknown))}; it has "
            f"{', '.join(sorted(config.to_dict()))}"
        )
    if "/" in str(config._attn_implementation) and not code["trust_remote_code"]:
        raise ValueError(
            f"the configuration of {name!r} asks for code of the hub, {config._attn_implementation!r}"
        )
    config.use_cache = False  # keys and values kept for generation; parallel blocks would mix them up
    library: Any = AutoModelForSequenceClassification
    if pretrained:
        _check_vocabulary(name, config, vocabulary or 0)
        return _loaded(name, place, config, library, code)
    with _told(name):
        network: nn.Module = library.from_config(config, dtype=torch.float32, **code)
    return network


def _check_vocabulary(name: str, config: Any, vocabulary: int) -> None:
    """Refuse an embedding table smaller than the tokeniser's vocabulary; it may be larger."""
    if vocabulary > config.vocab_size:
        raise ValueError(
            f"the weights of {name!r} know {config.vocab_size} ids, and the texts have {vocabulary}; encode them "
            "with the tokeniser that belongs to the weights, or leave pretrained=True out"
        )


def _loaded(name: str, place: str, config: Any, library: Any, code: dict[str, bool]) -> nn.Module:
    """Load the network with its weights; only the classifier's size may differ from theirs."""
    with _told(name):
        network, found = library.from_pretrained(
            place,
            config=config,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **code,
        )
    wrong = [key for key, _, shape in sorted(found["mismatched_keys"]) if shape[0] != config.num_labels]
    if wrong:
        raise ValueError(
            f"the weights of {name!r} do not fit the options: {wrong[0]!r} has another size; leave pretrained=True "
            "out, or the options"
        )
    trained: nn.Module = network.train()
    return trained


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Raise the library's errors, which may be of any kind for a configuration of nonsense, as `ValueError`."""
    try:
        with unasked():
            yield
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"cannot build {name!r} ({type(error).__name__}: {reason}); if it is a folder, check its path and its "
            "config.json; if it is a name on the Hugging Face hub, check the spelling and the connection"
        ) from error
