"""`studygroup report`: one self-contained HTML page of the papers' tables beside ours, of comparisons and of runs."""

from studygroup.papers.report.command import report

__all__ = ["report"]
