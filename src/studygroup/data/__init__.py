"""Data sets from any supported source, and batches of their rows for a group of students."""

from studygroup.batching import Draw, DrawPart, EpochBatches, SharedBatches, StudentBatches, subsets
from studygroup.data.augment import Augment, Normalise, PadCropFlip, identity
from studygroup.data.folders import LeftOutWarning
from studygroup.data.form import Form, Pictures, Texts, load_form
from studygroup.data.human import HumanNoise, UnrelatedLabelsWarning
from studygroup.data.images import FirstFrameWarning
from studygroup.data.loader import Batch, BatchPart, loader
from studygroup.data.loading import Data, NoTestSplitWarning, load
from studygroup.data.mix import CutMix, Mix, MixUp
from studygroup.data.noise import EpochLabels, LabelNoise, SymmetricNoise, TrueLabels, clean
from studygroup.data.places import UnavailableError
from studygroup.data.splits import ArrowSplit, MemorySplit, PictureSplit, Relabelled, Rows, Split
from studygroup.data.text import (
    Characters,
    Encoder,
    Pretrained,
    SentencePiece,
    TextSplit,
    Tokenizer,
    TokenSplit,
    load_encoder,
)
from studygroup.data.torchvision import TorchVision

__all__ = [
    "ArrowSplit",
    "Augment",
    "Batch",
    "BatchPart",
    "Characters",
    "CutMix",
    "Data",
    "Draw",
    "DrawPart",
    "Encoder",
    "EpochBatches",
    "EpochLabels",
    "FirstFrameWarning",
    "Form",
    "HumanNoise",
    "LabelNoise",
    "LeftOutWarning",
    "MemorySplit",
    "Mix",
    "MixUp",
    "NoTestSplitWarning",
    "Normalise",
    "PadCropFlip",
    "PictureSplit",
    "Pictures",
    "Pretrained",
    "Relabelled",
    "Rows",
    "SentencePiece",
    "SharedBatches",
    "Split",
    "StudentBatches",
    "SymmetricNoise",
    "TextSplit",
    "Texts",
    "TokenSplit",
    "Tokenizer",
    "TorchVision",
    "TrueLabels",
    "UnavailableError",
    "UnrelatedLabelsWarning",
    "clean",
    "identity",
    "load",
    "load_encoder",
    "load_form",
    "loader",
    "subsets",
]
