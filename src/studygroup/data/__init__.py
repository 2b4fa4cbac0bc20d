"""One door to every data set, and the way from its rows to batches for a group of students."""

from studygroup.data.augment import Augment, Normalise, PadCropFlip, identity
from studygroup.data.batching import EpochBatches, SharedBatches, StudentBatches, subsets
from studygroup.data.loader import Batch, loader
from studygroup.data.loading import Data, NoTestSplitWarning, load
from studygroup.data.splits import ArrowSplit, MemorySplit, Split

__all__ = [
    "ArrowSplit",
    "Augment",
    "Batch",
    "Data",
    "EpochBatches",
    "MemorySplit",
    "NoTestSplitWarning",
    "Normalise",
    "PadCropFlip",
    "SharedBatches",
    "Split",
    "StudentBatches",
    "identity",
    "load",
    "loader",
    "subsets",
]
