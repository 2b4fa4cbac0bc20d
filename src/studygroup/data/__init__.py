"""One door to every data set, and the way from its rows to batches for a group of students."""

from studygroup.data.augment import Augment, Normalise, PadCropFlip, identity
from studygroup.data.batching import Draw, EpochBatches, SharedBatches, StudentBatches, subsets
from studygroup.data.human import HumanNoise
from studygroup.data.loader import Batch, loader
from studygroup.data.loading import Data, NoTestSplitWarning, load
from studygroup.data.noise import EpochLabels, LabelNoise, SymmetricNoise, TrueLabels, clean
from studygroup.data.relabelled import Relabelled
from studygroup.data.splits import ArrowSplit, MemorySplit, Split

__all__ = [
    "ArrowSplit",
    "Augment",
    "Batch",
    "Data",
    "Draw",
    "EpochBatches",
    "EpochLabels",
    "HumanNoise",
    "LabelNoise",
    "MemorySplit",
    "NoTestSplitWarning",
    "Normalise",
    "PadCropFlip",
    "Relabelled",
    "SharedBatches",
    "Split",
    "StudentBatches",
    "SymmetricNoise",
    "TrueLabels",
    "clean",
    "identity",
    "load",
    "loader",
    "subsets",
]
