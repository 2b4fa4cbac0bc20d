"""The analyses by name. To add one, write a file with its class and a line here."""

from collections.abc import Mapping

from studygroup.analysis import (
    calibration,
    convergence,
    diversity,
    ensemble,
    flatness,
    landscape,
    sharing,
    similarity,
)
from studygroup.analysis.base import Analysis

analyses: Mapping[str, Analysis] = {
    "calibration": calibration.Calibration(),
    "convergence": convergence.Convergence(),
    "diversity": diversity.Diversity(),
    "ensemble": ensemble.Ensemble(),
    "flatness": flatness.Flatness(),
    "landscape": landscape.Landscape(),
    "sharing": sharing.Sharing(),
    "similarity": similarity.Similarity(),
}
"""Each with the settings that it has by default; `dataclasses.replace` changes them."""
