"""Texts as sequences of characters, as VDCNN reads them."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int64

from studygroup.data.text.kept import Encodes, Kept

# reading: the print sets the apostrophe, "^", "~" and "`" as typographic signs; keyboard characters are meant, as in
# Zhang et al. 2015. So there are 66, which with padding, space and unknown make the 69 tokens that the paper counts.
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-,;.!?:'\"/|_#$%^&*~`+=<>()[]{}"

_PADDING, _UNKNOWN, _SPACE, _FIRST = 0, 1, 2, 3


@dataclass(frozen=True, kw_only=True)
class Characters:
    """Lower-cased texts, one id per character (Conneau et al. 2017, section 4.2); nothing is fitted.

    Id 0 is padding, 1 any character outside the alphabet (including tabs, line ends and capitals without a lower
    case), 2 the space, and from 3 on come the characters of the alphabet in order.

    Attributes:
        alphabet: each character once, in lower case, without the space.
        length: maximum number of characters in a text; longer texts are truncated at the end. 1014 in the paper's
            text, after Zhang et al. 2015; 1024 in its figure 1.
        full: whether short texts are padded to `length`, as in the paper, whatever else is in the batch.
    """

    alphabet: str = ALPHABET
    length: int = 1014
    full: bool = True

    def __call__(self, texts: Iterable[str]) -> "CharacterEncoder":
        """Build the encoder; the texts are not read.

        Raises:
            ValueError: an alphabet with repeated characters, a space or capitals, or a length below 1.
        """
        wrong = sorted({c for c in self.alphabet if c == " " or c.lower() != c or self.alphabet.count(c) > 1})
        if wrong:
            raise ValueError(
                f"the alphabet has {wrong}; give each character once and in lower case, without the space, "
                "which has an id of its own"
            )
        check_length(self.length)
        return CharacterEncoder(alphabet=self.alphabet, length=self.length, full=self.full)


@dataclass(frozen=True, kw_only=True)
class CharacterEncoder(Encodes):
    """An encoder from texts to the ids of their characters, see `Characters`.

    Attributes:
        alphabet: the characters from id 3 on.
        length: maximum number of ids in a row; longer texts are truncated at the end.
        full: whether rows are padded to `length`.
    """

    alphabet: str
    length: int
    full: bool
    padding = _PADDING

    @property
    def vocabulary(self) -> int:
        """The number of ids: the alphabet, padding, space and unknown."""
        return _FIRST + len(self.alphabet)

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, not padded; an empty text is one unknown character."""
        last = len(self._ids) - 1  # stands for all code points beyond the alphabet
        rows = []
        for text in texts:
            # a lone surrogate, as in an undecodable file name, counts as one unknown character
            encoded = text.lower()[: self.length].encode("utf-32-le", "surrogatepass")
            codes = np.frombuffer(encoded, dtype="<u4")
            rows.append(self._ids[np.minimum(codes, last)].tolist() or [_UNKNOWN])
        return rows

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids: the replacement character U+FFFD for unknown characters, nothing for padding."""
        known = ["", "\N{REPLACEMENT CHARACTER}", " ", *self.alphabet]
        return "".join(known[number] for number in ids)

    @classmethod
    def restored(cls, kept: Kept) -> "CharacterEncoder":
        """Restore an encoder from what it saved."""
        return cls(**kept.settings)

    @property
    def _kept(self) -> Kept:
        return Kept(type(self).__name__, asdict(self), {})

    @cached_property
    def _ids(self) -> Int64[np.ndarray, "codes"]:
        """The id of each Unicode code point up to the alphabet's highest, and unknown after it."""
        table = np.full(max(map(ord, " " + self.alphabet)) + 2, _UNKNOWN)
        table[ord(" ")] = _SPACE
        table[[ord(character) for character in self.alphabet]] = range(_FIRST, self.vocabulary)
        return table


def check_length(length: int) -> None:
    """Refuse a length below 1: a row has at least one id."""
    if length < 1:
        raise ValueError(f"length is {length}; give how many ids a text has at most, 1 or more")
