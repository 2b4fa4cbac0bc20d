"""From texts to the numbers of their tokens: what every tokenizer can do."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from studygroup.data.text.characters import CharacterEncoder
from studygroup.data.text.kept import read_kept
from studygroup.data.text.pieces import SentencePieceEncoder
from studygroup.data.text.pretrained import PretrainedEncoder

_KINDS = (CharacterEncoder, SentencePieceEncoder, PretrainedEncoder)


@runtime_checkable
class Encoder(Protocol):
    """A tokenizer that is ready: it knows its vocabulary. It can be pickled."""

    @property
    def vocabulary(self) -> int:
        """How many ids there are; all lie in [0, vocabulary)."""
        ...

    @property
    def padding(self) -> int:
        """The id that fills rows of a batch up to one length."""
        ...

    @property
    def length(self) -> int:
        """Ids that a row has at most; the end of a longer text is cut."""
        ...

    @property
    def full(self) -> bool:
        """Whether rows are always filled up to `length`, or to the longest row of their batch."""
        ...

    @property
    def fingerprint(self) -> str:
        """The sha256 sum of all that decides the ids: equal fingerprints, equal ids."""
        ...

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, 1 to `length` of them, not filled up."""
        ...

    def save(self, folder: Path) -> None:
        """Writes it into a folder, which is made if need be, for `load_encoder`."""
        ...


@runtime_checkable
class Tokenizer(Protocol):
    """Settings from which an encoder is made."""

    def __call__(self, texts: Iterable[str]) -> Encoder:
        """Fits an encoder.

        Args:
            texts: of the training split alone; may be gone through more than once.
        """
        ...


def load_encoder(folder: str | Path) -> Encoder:
    """An encoder that was saved in a folder.

    Args:
        folder: that its `save` wrote.

    Raises:
        ValueError: a file is missing, damaged or not from there.
    """
    kept = read_kept(folder)
    for kind in _KINDS:
        if kind.__name__ == kept.kind:
            return kind.restored(kept)
    raise ValueError(
        f"the tokenizer in {folder} is a {kept.kind}, not one of {[kind.__name__ for kind in _KINDS]}; load it with "
        "the version or the code that saved it"
    )
