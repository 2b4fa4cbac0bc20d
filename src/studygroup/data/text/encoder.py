"""The interface of all tokenizers: from texts to token ids."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from studygroup.checks import check_whole
from studygroup.data.text.characters import CharacterEncoder
from studygroup.data.text.kept import Kept, read_kept
from studygroup.data.text.pieces import SentencePieceEncoder
from studygroup.data.text.pretrained import PretrainedEncoder
from studygroup.trust import NotAllowedError

_LONGEST = 2**20  # ids of a row: rows of some encoders are always filled up
_KINDS = (CharacterEncoder, SentencePieceEncoder, PretrainedEncoder)


@runtime_checkable
class Encoder(Protocol):
    """A fitted tokenizer, which knows its vocabulary. It can be pickled."""

    @property
    def vocabulary(self) -> int:
        """The number of ids; all lie in [0, vocabulary)."""
        ...

    @property
    def padding(self) -> int:
        """The id that pads the rows of a batch to one length."""
        ...

    @property
    def length(self) -> int:
        """The maximum number of ids in a row; longer texts are truncated at the end."""
        ...

    @property
    def full(self) -> bool:
        """Whether rows are always padded to `length`, instead of to the longest row of their batch."""
        ...

    @property
    def fingerprint(self) -> str:
        """The sha256 sum of all that determines the ids: equal fingerprints, equal ids."""
        ...

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, 1 to `length` of them, not padded."""
        ...

    def save(self, folder: Path) -> None:
        """Save the encoder for `load_encoder` in a folder, which is created if missing."""
        ...


@runtime_checkable
class Tokenizer(Protocol):
    """Settings from which an encoder is built."""

    def __call__(self, texts: Iterable[str]) -> Encoder:
        """Fit an encoder.

        Args:
            texts: of the training split alone; may be iterated over more than once.
        """
        ...


def load_encoder(folder: str | Path) -> Encoder:
    """Load an encoder that was saved in a folder.

    Args:
        folder: the one that its `save` wrote.

    Raises:
        ValueError: a file is missing, damaged or not written by `save`.
    """
    kept = read_kept(folder)
    for kind in _KINDS:
        if kind.__name__ == kept.kind:
            return _usable(kind, kept, Path(folder))
    raise ValueError(
        f"the tokenizer in {folder} is a {kept.kind}, not one of {[kind.__name__ for kind in _KINDS]}; load it with "
        "the version or the code that saved it"
    )


def _usable(kind: Any, kept: Kept, folder: Path) -> Encoder:
    """Restore an encoder and try it; its settings may be anything.

    Raises:
        ValueError: it cannot be used.
    """
    try:
        found: Encoder = kind.restored(kept)
        check_whole("length", found.length, least=1)
        if found.length > _LONGEST:
            raise ValueError(f"length is {found.length:,}, and {_LONGEST:,} are the most")
        found(["a"])
    except NotAllowedError:
        raise
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        said = " ".join(str(error).split())
        raise ValueError(f"the tokenizer in {folder} cannot be used ({said:.400}); save it anew") from error
    return found
