"""`studygroup report`: one self-contained HTML page of comparisons and of runs."""

from studygroup.report.command import report, run_report

__all__ = ["report", "run_report"]
