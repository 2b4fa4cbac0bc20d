"""Texts as the ids of SentencePiece's pieces, with a trained model."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any

import torch

from studygroup.data.text.kept import Encodes, Kept
from studygroup.extras import missing

MODEL_FILE = "sentencepiece.model"
PADDING, UNKNOWN = 0, 1


@dataclass(frozen=True, kw_only=True)
class SentencePieceEncoder(Encodes):
    """An encoder from texts to the ids of their pieces, see `studygroup.data.text.SentencePiece`.

    Attributes:
        model: a SentencePiece model, as the content of its file.
        length: maximum number of ids in a row; longer texts are truncated at the end.
    """

    model: bytes
    length: int
    padding = PADDING
    full = False  # rows are padded to the longest of their batch

    @property
    def vocabulary(self) -> int:
        """The number of ids."""
        return int(self._processor.get_piece_size())

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, not padded; an empty text is one unknown piece.

        Uses as many threads as torch: one in a worker of a loader.
        """
        rows = self._processor.encode([lowered(text) for text in texts], num_threads=torch.get_num_threads())
        return [row[: self.length] or [UNKNOWN] for row in rows]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the lower-cased, possibly truncated text of ids; double question marks for unknown pieces."""
        return str(self._processor.decode([number for number in ids if number != PADDING]))

    @classmethod
    def restored(cls, kept: Kept) -> "SentencePieceEncoder":
        """Restore an encoder from what it saved."""
        return cls(model=kept.files[MODEL_FILE], **kept.settings)

    @property
    def _kept(self) -> Kept:
        return Kept(type(self).__name__, {"length": self.length}, {MODEL_FILE: self.model})

    @cached_property
    def _processor(self) -> Any:
        return library().SentencePieceProcessor(model_proto=self.model)


def lowered(text: str) -> bytes:
    """Return a text as SentencePiece gets it: in lower case, with a question mark for every lone surrogate."""
    return text.lower().encode("utf-8", "replace")


def library() -> ModuleType:
    """Import the package `sentencepiece`.

    Raises:
        ValueError: it is not installed.
    """
    try:
        import sentencepiece
    except ImportError as error:
        raise missing("SentencePiece", "text", error) from error
    return sentencepiece
