"""Texts as sequences of word pieces, learnt from the training texts by SentencePiece."""

import hashlib
import io
import json
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from studygroup.data.text.cache import remembered
from studygroup.data.text.characters import check_length
from studygroup.data.text.pieces import PADDING, UNKNOWN, SentencePieceEncoder, library, lowered

_RESERVED = "\u2585".encode()  # SentencePiece skips every training text that contains this block character
_LONGEST = 2**30  # bytes of a training text, the maximum; the default of 4192 drops long reviews
_COVERAGE = (0.98, 1.0)  # the range that SentencePiece accepts


class SmallVocabularyWarning(UserWarning):
    """A warning that the training texts have fewer different pieces than were asked for."""


@dataclass(frozen=True, kw_only=True)
class SentencePiece:
    """Lower-cased texts in word pieces, by byte-pair encoding (CGL, "Experiment Settings").

    Texts are lower-cased and otherwise unchanged: repeated spaces, tabs, line ends and `<br />` stay. With its
    defaults, SentencePiece puts a space before each text, so that a word is the same piece at any position (`decode`
    removes it again), and no piece extends across a space, or from letters to digits or signs. Id 0 is padding, 1
    any run of characters without a piece; there are no ids for begin and end.

    The trained model is kept in the cache folder (`$STUDYGROUP_CACHE`, else `studygroup` in `$XDG_CACHE_HOME` or
    `~/.cache`) under a key of all that determines it: settings, version of the library and all texts.

    Attributes:
        vocabulary: how many pieces to learn, including padding, unknown and single characters. If the texts have
            fewer, it is smaller, with a `SmallVocabularyWarning`.
        length: maximum number of pieces in a text; longer texts are truncated at the end.
        coverage: share of the characters of the training texts that are pieces themselves, the most frequent first,
            in [0.98, 1]; others are unknown. The papers do not state it.
        sample: maximum number of texts to learn from, evenly spaced among those given; training needs memory for
            about three times their size.
    """

    vocabulary: int = 16_000
    length: int = 512
    coverage: float = 0.9999  # departs: SentencePiece's default of 0.9995 loses the digit 6 of IMDB's "6/10"
    sample: int = 1_000_000

    def __call__(self, texts: Iterable[str]) -> SentencePieceEncoder:
        """Learn the pieces.

        Args:
            texts: of the training split alone; iterated over twice.

        Raises:
            ValueError: no characters to learn from, more characters than pieces, texts that can be iterated over only
                once, a setting out of range, or SentencePiece is not installed.
        """
        self._check(texts)
        count, key = self._key(texts)
        model = remembered(f"sentencepiece-{key}", lambda: self._train(texts, count))
        encoder = SentencePieceEncoder(model=model, length=self.length)
        if encoder.vocabulary < self.vocabulary:
            warnings.warn(
                f"{count} texts have {encoder.vocabulary} different pieces, where vocabulary={self.vocabulary} were "
                f"asked for; ask for vocabulary={encoder.vocabulary}, or give more texts",
                SmallVocabularyWarning,
                stacklevel=2,
            )
        return encoder

    def _check(self, texts: Iterable[str]) -> None:
        check_length(self.length)
        if not _COVERAGE[0] <= self.coverage <= _COVERAGE[1]:
            raise ValueError(
                f"coverage is {self.coverage}; give a share of the characters in {list(_COVERAGE)}"
            )
        if self.sample < 1:
            raise ValueError(f"sample is {self.sample}; give how many texts to learn from at most, 1 or more")
        if iter(texts) is texts:
            raise ValueError(f"the texts are a {type(texts).__name__}, gone after one reading; give a list")

    def _key(self, texts: Iterable[str]) -> tuple[int, str]:
        """Return the number of texts, and the sha256 sum of all that determines the model."""
        settings = [self.vocabulary, self.coverage, self.sample, library().__version__]
        total, count = hashlib.sha256(json.dumps(settings).encode()), 0
        for text in map(lowered, texts):
            total.update(len(text).to_bytes(8, "big") + text)  # the length: "ab", "c" is not "a", "bc"
            count += 1
        return count, total.hexdigest()

    def _train(self, texts: Iterable[str], count: int) -> bytes:
        """Train a SentencePiece model; equal texts give equal bytes."""
        model = io.BytesIO()
        try:
            library().SentencePieceTrainer.train(
                sentence_iterator=_sentences(texts, count=count, sample=self.sample),
                model_writer=model,
                model_type="bpe",
                vocab_size=self.vocabulary,
                hard_vocab_limit=False,
                character_coverage=self.coverage,
                normalization_rule_name="identity",
                remove_extra_whitespaces=False,
                max_sentence_length=_LONGEST,
                pad_id=PADDING,
                unk_id=UNKNOWN,
                bos_id=-1,
                eos_id=-1,
                num_threads=1,  # the number is written into the model, and more are hardly faster
                minloglevel=2,  # errors
            )
        except RuntimeError as error:
            raise ValueError(
                f"SentencePiece cannot learn {self.vocabulary} pieces from {count} texts ({error}); give texts that "
                "are not all empty, or a larger vocabulary where there are more single characters than that"
            ) from error
        return model.getvalue()


def _sentences(texts: Iterable[str], *, count: int, sample: int) -> Iterator[bytes]:
    """Yield at most `sample` of `count` texts, evenly spaced, split at the character that SentencePiece reserves."""
    for row, text in enumerate(texts):
        if row * sample % count < sample:
            yield from filter(None, lowered(text).split(_RESERVED))
