"""Which class a network named on the rows of each class, kept in the run folder as `confusion.csv`."""

import csv
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from studygroup.files import write_text
from studygroup.trust import NotAllowedError
from studygroup.untrusted import read_text

NO_CLASS = -1
"""The answer where a score was not a number: no class, and never right."""
_COLUMNS = ("label", "answer", "rows")
_LONGEST = 2**24  # bytes


@dataclass(frozen=True)
class Confusion:
    """The answers of one network on a set of rows.

    Attributes:
        counts: number of rows by label and answer, indices of classes from 0, for the pairs that occurred; the answer
            may be `NO_CLASS`.
    """

    counts: Mapping[tuple[int, int], int]

    @property
    def total(self) -> int:
        """Number of rows."""
        return sum(self.counts.values())

    @property
    def total_right(self) -> int:
        """Number of rows whose answer is their label."""
        return sum(count for (label, answer), count in self.counts.items() if label == answer)

    @cached_property
    def rows(self) -> Mapping[int, int]:
        """Number of rows of each class that has any."""
        return self._sums(0)

    @cached_property
    def answers(self) -> Mapping[int, int]:
        """Number of rows on which each class was named; 0 where it never was."""
        return self._sums(1)

    def right(self, label: int) -> int:
        """Return the number of rows of a class that it was named on."""
        return self.counts.get((label, label), 0)

    def errors(self, label: int) -> int:
        """Return the number of rows of a class that it was not named on."""
        return self.rows[label] - self.right(label)

    def mistaken(self) -> list[tuple[int, int]]:
        """Return the labels and wrong answers that occurred, the most frequent first."""
        wrong = [pair for pair in self.counts if pair[0] != pair[1]]
        return sorted(wrong, key=lambda pair: (-self.counts[pair], pair))

    def _sums(self, side: int) -> Counter[int]:
        sums: Counter[int] = Counter()
        for pair, count in self.counts.items():
            sums[pair[side]] += count
        return sums

    def write(self, path: Path) -> None:
        """Write the counts, one line per label and answer that occurred; an answer that is no class stays empty."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for (label, answer), count in sorted(self.counts.items()):
            writer.writerow([label, "" if answer == NO_CLASS else answer, count])
        write_text(path, text.getvalue())


def read_confusion(path: Path, *, classes: int, rows: int, right: float) -> Confusion | None:
    """Read the counts that `Confusion.write` wrote.

    Args:
        path: the CSV file.
        classes: number of classes.
        rows: number of rows that were scored.
        right: share of right answers.

    Returns:
        The counts; None where the file is missing, as in runs that did not keep them.

    Raises:
        ValueError: the file is damaged, or says another thing than these numbers.
    """
    if not path.exists():
        return None
    counts: dict[tuple[int, int], int] = {}
    try:
        lines = csv.reader(io.StringIO(read_text(path, folder=path.parent, most=_LONGEST), newline=""))
        if tuple(next(lines, ())) != _COLUMNS:
            raise ValueError(f"its columns are not {', '.join(_COLUMNS)}")
        for line in lines:
            label, answer, count = (NO_CLASS if cell == "" else int(cell) for cell in line)
            if not (0 <= label < classes and NO_CLASS <= answer < classes and count > 0):
                raise ValueError(f"{','.join(line)!r:.80} is no count of {classes} classes")
            if (label, answer) in counts:
                raise ValueError(f"label {label} and answer {answer} stand twice")
            counts[label, answer] = count
        found = Confusion(counts)
        if found.total != rows or found.total_right != round(right * rows):
            raise ValueError(
                f"it has {found.total_right} right answers on {found.total} rows, where the summary has "
                f"{round(right * rows)} on {rows}"
            )
    except NotAllowedError:
        raise
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read ({error}); remove it to do without it") from error
    return found


class Answers:
    """Accumulator of a network's answers; nothing is read from the device before `read`."""

    def __init__(self) -> None:
        self._pairs: list[Tensor] = []

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Keep the answers on one batch.

        Args:
            logits: (N, classes).
            labels: class indices (N,).
        """
        answers = logits.argmax(-1).masked_fill(logits.isnan().any(-1), NO_CLASS)
        self._pairs.append(torch.stack([labels, answers]))

    def read(self) -> Confusion:
        """Return the counts over all batches so far; waits for the device once."""
        if not self._pairs:
            return Confusion({})
        labels, answers = torch.cat(self._pairs, 1).tolist()
        return Confusion(dict(Counter(zip(labels, answers, strict=True))))
