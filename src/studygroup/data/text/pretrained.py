"""Texts as a published network reads them: with the tokenizer that it was trained with."""

import json
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from studygroup.data.text.characters import check_length
from studygroup.data.text.kept import ENCODER_FILE, Encodes, Kept
from studygroup.extras import missing
from studygroup.trust import allows_remote_code, unasked
from studygroup.untrusted import check_tree

_TOKENIZER = re.compile(r"\w*(Tokenizer|TokenizerFast|TokenizersBackend|SentencePieceBackend|PythonBackend)")


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """A tokenizer of the Hugging Face library, unchanged: for networks that were trained with it.

    Its normalisation of texts, such as lower-casing, is left to it.

    Attributes:
        name: on the Hugging Face hub, or a folder that a tokenizer was saved in.
        length: maximum number of ids in a text, including those of begin and end; longer texts are truncated.
    """

    name: str
    length: int = 512

    def __call__(self, texts: Iterable[str]) -> "PretrainedEncoder":
        """Load the tokenizer; the texts are not read.

        Raises:
            ValueError: there is no such tokenizer, it has no padding token, it is for fewer ids than `length`, or the
                library is not installed.
        """
        check_length(self.length)
        tokenizer = _load(self.name)
        if tokenizer.pad_token_id is None:
            raise ValueError(
                f"the tokenizer {self.name} has no padding token, which fills rows of a batch up to one length; set "
                "its `pad_token`, save it with `save_pretrained`, and give that folder"
            )
        if self.length > tokenizer.model_max_length:
            raise ValueError(
                f"the tokenizer {self.name} is for at most {tokenizer.model_max_length} ids, and length is "
                f"{self.length}; give a length of {tokenizer.model_max_length} or less"
            )
        if self.length <= tokenizer.num_special_tokens_to_add():
            raise ValueError(
                f"length is {self.length}, and the tokenizer {self.name} adds "
                f"{tokenizer.num_special_tokens_to_add()} ids of its own to each text; give a greater length"
            )
        return PretrainedEncoder(files=_files(tokenizer), length=self.length)


@dataclass(frozen=True, kw_only=True)
class PretrainedEncoder(Encodes):
    """An encoder from texts to ids, see `Pretrained`.

    Attributes:
        files: content of each file of the tokenizer, by name.
        length: maximum number of ids in a row; longer texts are truncated at the end.
    """

    files: Mapping[str, bytes]
    length: int
    full = False  # rows are padded to the longest of their batch

    @property
    def vocabulary(self) -> int:
        """The number of ids, including added tokens."""
        return len(self._tokenizer)

    @property
    def padding(self) -> int:
        """The tokenizer's own padding id."""
        return int(self._tokenizer.pad_token_id)

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, not padded, with those of begin and end.

        A text without any id becomes one unknown token, or one padding id if the tokenizer has no unknown token.
        """
        if not texts:
            return []
        rows = self._tokenizer(
            list(texts),
            truncation=True,
            max_length=self.length,
            return_attention_mask=False,
            return_token_type_ids=False,
        )["input_ids"]
        unknown = self._tokenizer.unk_token_id
        return [row or [self.padding if unknown is None else unknown] for row in rows]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, as the tokenizer joins them, without special tokens."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    @classmethod
    def restored(cls, kept: Kept) -> "PretrainedEncoder":
        """Restore an encoder from what it saved."""
        _check_classes(kept.files)
        return cls(files=kept.files, **kept.settings)

    @property
    def _kept(self) -> Kept:
        return Kept(type(self).__name__, {"length": self.length}, self.files)

    @cached_property
    def _tokenizer(self) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            for name, content in self.files.items():
                (Path(folder) / name).write_bytes(content)
            tokenizer = _load(folder)
        tokenizer.truncation_side = "right"
        return tokenizer


_ENDINGS = ".json .txt .model .spm .jinja .bpe .codes .vocab .tiktoken .tokenizer"
_OF_NETWORKS = ("config.json", "adapter_config.json", "generation_config.json", "preprocessor_config.json")
"""Files that would tell a library of another network, where those of a tokenizer are written beside one."""


def _check_classes(files: Mapping[str, bytes]) -> None:
    """Refuse files of a tokenizer that name code of their own, or a class that is no tokenizer."""
    if allows_remote_code():
        return
    for name, content in files.items():
        if not name.endswith(tuple(_ENDINGS.split())) or name in _OF_NETWORKS or name.endswith(".index.json"):
            raise ValueError(f"{name} is no file of a tokenizer; remove it, and save the tokenizer anew")
        told = json.loads(content) if name.endswith("config.json") else {}
        class_ = told.get("tokenizer_class") if isinstance(told, dict) else None
        if class_ is not None and (not _TOKENIZER.fullmatch(str(class_)) or str(class_).startswith("Auto")):
            raise ValueError(f"{name} of the tokenizer names the class {class_!r}, which is no tokenizer")
        if name.endswith(".py") or (isinstance(told, dict) and told.get("auto_map")):
            raise ValueError(
                f"{name} of the tokenizer brings code, which is not executed. Look at it first; then give --allow "
                "remote_code"
            )


def _load(name: str) -> Any:
    check_tree(Path(name).expanduser())
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise missing("Pretrained", "text", error) from error
    try:
        with unasked():
            return AutoTokenizer.from_pretrained(name, trust_remote_code=allows_remote_code())
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"no tokenizer can be loaded from {name} ({error}); give a name on the Hugging Face hub, or a folder "
            "that one was saved in with `save_pretrained`"
        ) from error


def _files(tokenizer: Any) -> dict[str, bytes]:
    """Return the files that the library saves of a tokenizer; take them before its first use, which changes them."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        files = sorted(path for path in Path(folder).iterdir() if path.is_file())
        return {path.name: path.read_bytes() for path in files if path.name != ENCODER_FILE}
