"""Both papers as data: every table and figure, what was published, the runs behind it, and what is claimed."""

from studygroup.papers.lab import Lab
from studygroup.papers.reading import table_called, tables
from studygroup.papers.scale import FULL, SMALL, Regime, Scale
from studygroup.papers.tables import Cell, Claim, Contrast, Measure, Number, Table
from studygroup.papers.verdicts import Judged, Verdict, judged, welch

__all__ = [
    "FULL",
    "SMALL",
    "Cell",
    "Claim",
    "Contrast",
    "Judged",
    "Lab",
    "Measure",
    "Number",
    "Regime",
    "Scale",
    "Table",
    "Verdict",
    "judged",
    "table_called",
    "tables",
    "welch",
]
