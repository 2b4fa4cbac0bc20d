"""The error of a normalisation that gets one row alone: whose row it is, and what to do."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from studygroup._engine.rows import Rows

_TORCHS = "Expected more than 1 value per channel when training"  # of batch and group normalisation


class OneRowError(ValueError):
    """A normalisation in training mode needs more than the one row that it was given.

    Args:
        students: whose row it is.
    """

    def __init__(self, students: Sequence[int]) -> None:
        who = f"student {students[0]} has" if len(students) == 1 else f"students {list(students)} have"
        super().__init__(
            f"{who} 1 row in this step, and a normalisation over the batch needs at least 2 in training mode; draw "
            "steps with studygroup.data.StudentBatches or SharedBatches, which leave no row alone, deal a batch with "
            "studygroup.owners(rows, students=...), leave the last short batch out (drop_last=True), or put the norm "
            "into eval mode"
        )


@contextmanager
def one_row_named(rows: Rows) -> Iterator[None]:
    """Raise torch's error of too few values as one that names the students of the row.

    Args:
        rows: those that the code inside works on.

    Raises:
        OneRowError: instead of torch's, if there is one row.
    """
    try:
        yield
    except ValueError as error:
        if _TORCHS not in str(error) or len(rows) != 1:
            raise
        raise OneRowError(rows.students[0].nonzero().flatten().tolist()) from error
