"""Texts as the ids of SentencePiece's pieces, with a model that is there already."""

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
    """From texts to the ids of their pieces, see `studygroup.data.text.SentencePiece`.

    Attributes:
        model: a SentencePiece model, as its file holds it.
        length: ids that a row has at most; the end of a longer text is cut.
    """

    model: bytes
    length: int

    @property
    def vocabulary(self) -> int:
        """How many ids there are."""
        return int(self._processor.get_piece_size())

    @property
    def padding(self) -> int:
        """The id that fills rows up, 0."""
        return PADDING

    @property
    def full(self) -> bool:
        """Rows are filled up to the longest of a batch."""
        return False

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, not filled up; an empty text is one unknown piece.

        As many threads work as torch has: one in a worker of a loader.
        """
        rows = self._processor.encode([lowered(text) for text in texts], num_threads=torch.get_num_threads())
        return [row[: self.length] or [UNKNOWN] for row in rows]

    def decode(self, ids: Sequence[int]) -> str:
        """The lower-cased text of ids, as far as it was not cut; double question marks for unknown pieces."""
        return str(self._processor.decode([number for number in ids if number != PADDING]))

    @classmethod
    def restored(cls, kept: Kept) -> "SentencePieceEncoder":
        """An encoder from what it left."""
        return cls(model=kept.files[MODEL_FILE], **kept.settings)

    @property
    def _kept(self) -> Kept:
        return Kept(type(self).__name__, {"length": self.length}, {MODEL_FILE: self.model})

    @cached_property
    def _processor(self) -> Any:
        return library().SentencePieceProcessor(model_proto=self.model)

    def __getstate__(self) -> dict[str, Any]:
        return {"model": self.model, "length": self.length}


def lowered(text: str) -> bytes:
    """A text as SentencePiece gets it; what is no Unicode, as in an undecodable file name, is a question mark."""
    return text.lower().encode("utf-8", "replace")


def library() -> ModuleType:
    """The package `sentencepiece`.

    Raises:
        ValueError: it is not installed.
    """
    try:
        import sentencepiece
    except ImportError as error:
        raise missing("SentencePiece", "text", error) from error
    return sentencepiece
