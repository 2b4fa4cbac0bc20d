"""Rows of text: their sources, and their conversion to token ids."""

from studygroup.data.sums import CacheWarning
from studygroup.data.text.bpe import SentencePiece, SmallVocabularyWarning
from studygroup.data.text.characters import ALPHABET, CharacterEncoder, Characters
from studygroup.data.text.encoder import Encoder, Tokenizer, load_encoder
from studygroup.data.text.pieces import SentencePieceEncoder
from studygroup.data.text.pretrained import Pretrained, PretrainedEncoder
from studygroup.data.text.split import TextSplit
from studygroup.data.text.tokens import TokenSplit, encoded, filled

__all__ = [
    "ALPHABET",
    "CacheWarning",
    "CharacterEncoder",
    "Characters",
    "Encoder",
    "Pretrained",
    "PretrainedEncoder",
    "SentencePiece",
    "SentencePieceEncoder",
    "SmallVocabularyWarning",
    "TextSplit",
    "TokenSplit",
    "Tokenizer",
    "encoded",
    "filled",
    "load_encoder",
]
