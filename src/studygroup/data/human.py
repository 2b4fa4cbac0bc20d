"""Human labels, from a table whose rows are in the order of the training set."""

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from studygroup.data.columns import check_labels, label_values, whole_numbers
from studygroup.data.noise import EpochLabels, SameLabels, TrueLabels
from studygroup.data.places import number_columns

_CLEAN_NAMES = ("clean_label", "label", "fine_label")  # in order of preference
_TELLING = 50  # rows
_UNRELATED = 0.1  # agreement beyond chance (Cohen's kappa) up to which labels say nothing of each other


class UnrelatedLabelsWarning(UserWarning):
    """Human labels agree with the data's no better than by chance."""


@dataclass(frozen=True, kw_only=True)
class HumanNoise:
    """Labels from a column of a table that is aligned, row by row, with the published training set.

    They are the same in every epoch. Rows are identified by their number in the published training set, so it does
    not matter which rows are trained on or held out. If the table also has the clean labels, they must equal
    the data's, so that another order or another set is detected.

    Attributes:
        path: a Parquet or CSV file, the authors' file of CIFAR-10N or CIFAR-100N (`.pt`, of which nothing is
            executed), a folder with `train.parquet`, or a name on the Hugging Face hub; may be the data set itself,
            if it has such a column.
        column: of the human labels, class numbers from 0; from 1, if the data's classes are called 1, 2, ....
        clean_column: of the true labels; if omitted, the column named like `column` with `clean` for `noisy`, else
            `clean_label`, `label` or `fine_label`, if there is one.
    """

    path: str
    column: str
    clean_column: str | None = None

    def __call__(self, truth: TrueLabels, *, seed: int) -> EpochLabels:
        """Read the labels of these rows; the seed does not matter.

        Args:
            truth: the true labels and the numbers of their rows.
            seed: not used.

        Raises:
            ValueError: the table cannot be read, lacks a column, has another number of rows than the training set,
                    labels that are no class, or clean labels that differ from the data's.
        """
        table = number_columns(self.path)
        if len(table) != truth.published:
            raise ValueError(
                f"{self.path} has {len(table)} rows and the training set {truth.published}; give a table with "
                "one row for each training row, in their order"
            )
        first = int(truth.classes == tuple(map(str, range(1, len(truth.classes) + 1))))
        labels = self._column(table, self.column, first)
        check_labels(labels, truth.classes, where=f"{self.path}, column {self.column!r}")
        clean = self._clean_column(table.column_names)
        if clean is not None:
            self._check(self._column(table, clean, first)[truth.rows], truth, clean)
        else:
            self._warn_of_chance(labels[truth.rows], truth.labels)
        return SameLabels(labels[truth.rows])

    def _column(self, table: Any, name: str, first: int) -> Int64[Tensor, "rows"]:
        """Return one column of labels, from 0 on."""
        if name not in table.column_names:
            raise ValueError(
                f"{self.path} has no column {name!r} of numbers, only {table.column_names}; give one of those"
            )
        labels = whole_numbers(label_values(table, name, where=self.path), name, where=self.path)
        if first and len(labels) and int(labels.min()) < first:
            row = int(labels.argmin())
            raise ValueError(
                f"{self.path}, row {row}: the label is {int(labels[row])} in column {name!r}, and the data's classes "
                f"are called by their numbers from {first} on; store these"
            )
        return labels - first

    def _warn_of_chance(self, said: Int64[Tensor, "rows"], true: Int64[Tensor, "rows"]) -> None:
        """Warn of labels that agree with the data's no better than those of other rows would."""
        agree = float((said == true).double().mean()) if len(true) else 1.0
        classes = int(torch.maximum(said, true).max()) + 1 if len(true) else 1
        shares = [torch.bincount(labels, minlength=classes) / len(true) for labels in (said, true)]
        chance = float((shares[0] * shares[1]).sum())
        if len(true) >= _TELLING and agree - chance <= _UNRELATED * (1 - chance):
            warnings.warn(
                f"{self.path}: column {self.column!r} agrees with the data's labels in {agree:.1%} of the rows, and "
                f"by chance it would in {chance:.1%}; if it is not meant to, its rows are in another order: name the "
                "column of true labels with clean_column, which shows that",
                UnrelatedLabelsWarning,
                stacklevel=2,
            )

    def _clean_column(self, names: list[str]) -> str | None:
        """Return the name of the column of true labels, if there is one."""
        if self.clean_column is not None:
            return self.clean_column
        likely = (self.column.replace("noisy", "clean"), *_CLEAN_NAMES)
        return next((name for name in likely if name != self.column and name in names), None)

    def _check(self, clean: Int64[Tensor, "rows"], truth: TrueLabels, column: str) -> None:
        """Refuse a table that belongs to other data."""
        differ = (clean != truth.labels).nonzero().flatten()
        if len(differ):
            first = int(differ[0])
            raise ValueError(
                f"{self.path} does not fit the data: in {len(differ)} of {len(clean)} rows column {column!r} is not "
                f"the data's label (row {int(truth.rows[first])}: {int(clean[first])} there, "
                f"{int(truth.labels[first])} in the data); give the table of this data set, in its order, or name "
                "the right column with clean_column"
            )
