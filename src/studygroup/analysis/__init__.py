"""Analyses of finished runs and of networks, and what training together costs.

Importing this takes torch alone; runs are loaded with the extra `train`.
"""

from studygroup.analysis.base import Analysis
from studygroup.analysis.catalogue import analyses
from studygroup.analysis.cost import Cost, parameters, saved_bytes, training_cost
from studygroup.analysis.results import analyse, read_analyses

__all__ = [
    "Analysis",
    "Cost",
    "analyse",
    "analyses",
    "parameters",
    "read_analyses",
    "saved_bytes",
    "training_cost",
]
