"""`studygroup report`: one self-contained HTML page of comparisons and of runs."""

from studygroup.report.command import report

__all__ = ["report"]
