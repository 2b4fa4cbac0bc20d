"""The report: one file that any browser opens."""

from studygroup.training.report.page import report

__all__ = ["report"]
