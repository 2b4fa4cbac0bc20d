"""`python -m reproduction report`: one self-contained HTML page of the papers' tables beside ours."""

from reproduction.report.command import report

__all__ = ["report"]
