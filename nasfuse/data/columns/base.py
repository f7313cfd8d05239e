"""Interface of the transforms from raw columns to the arrays of a modality."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from nasfuse.data.layout import ModalityArrays
from nasfuse.data.raw_table import RawTable
from nasfuse.errors import MissingValuesWarning

Rows = NDArray[np.int64]

#: Rows of a column that a message lists beside the first one.
_MOST_LISTED = 10


@dataclass(frozen=True)
class Problem:
    """A value of a row that cannot be used, for example a file that does not exist.

    Attributes:
        row: Row, counted from 0.
        column: Name of the column.
        message: One sentence that names column, file and row, and says what to do.
        training_advice: What else can be done while no network is trained yet, to follow the message; may be empty.
    """

    row: int
    column: str
    message: str
    training_advice: str = ""


def text_of(problems: Sequence[Problem]) -> str:
    """Returns the first of the problems of a training in words, and the columns and rows of the others that fit."""
    first, *others = problems
    message = f"{first.message}, {first.training_advice}" if first.training_advice else first.message
    if not others:
        return message
    rows: dict[str, list[int]] = {}
    for one in others:
        rows.setdefault(one.column, []).append(one.row)
    if rows.keys() == {first.column}:
        where = _rows_text(rows[first.column])
    else:
        where = "; ".join(f"{_rows_text(own)} of {column}" for column, own in rows.items())
    return f"{message} (and {len(others)} more: {where})"


def _rows_text(rows: Sequence[int]) -> str:
    """Returns the numbers of rows, as far as they fit."""
    more = ", ..." if len(rows) > _MOST_LISTED else ""
    return f"{'row' if len(rows) == 1 else 'rows'} {', '.join(map(str, rows[:_MOST_LISTED]))}{more}"


@dataclass(frozen=True)
class Reading:
    """The arrays of a modality, read from raw columns.

    Attributes:
        arrays: Arrays of all rows. Rows with a problem have the values of a missing one.
        problems: Values that cannot be used, ordered by row.
        cut: Sequences longer than all of the training, ordered by row, which were cut.
        column: Name of the column in which the values of rows that are not `arrays.present` are missing.
    """

    arrays: ModalityArrays
    problems: tuple[Problem, ...] = ()
    column: str = ""
    cut: tuple[Problem, ...] = ()


class Transform(ABC):
    """Turns raw columns into the arrays of one modality, with what it learned from the training samples.

    Attributes:
        stand_in: What a missing value has in the arrays, for networks that know no absent modality.
    """

    stand_in: ClassVar[str] = "the mean of the training samples"

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """Names of the columns or arrays that are read."""

    @property
    def has_lengths(self) -> bool:
        """Whether the result is a sequence with a length for each row."""
        return False

    @property
    def outside_macs(self) -> int:
        """Multiply-accumulates per sample with which the modality is computed outside of the network."""
        return 0

    @classmethod
    @abstractmethod
    def fit(cls, name: str, config: Any, raw: RawTable, rows: Rows) -> Self:
        """Returns the transform of modality `name`, fitted on the training samples `rows`.

        Args:
            name: Name of the modality.
            config: Its entry in `data.modalities`, a member of `nasfuse.spec.modality.ModalityEntry`.
            raw: All rows.
            rows: (k,) rows of the training samples.

        Raises:
            DataError: The columns do not exist, or cannot be used with this `kind`.
        """

    @abstractmethod
    def read(self, raw: RawTable) -> Reading:
        """Returns the arrays of all rows of `raw`, which need not be the rows of the fit.

        Raises:
            DataError: A column is absent, or has another type than at the fit.
        """

    def unknown(self, raw: RawTable) -> dict[str, int]:
        """Returns the number of categories of `raw` that the transform does not know, by column; only where not 0."""
        return {}

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Returns the transform as plain values and tensors, which torch loads with `weights_only=True`."""

    @classmethod
    @abstractmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Returns the transform of a `state`."""


class ColumnTransform(Transform):
    """Transform of one column: that of the description, or the one with the name of the modality.

    Attributes:
        name: Name of the modality.
        config: Description of the modality, with a `column`.
    """

    name: str
    config: Any

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that are read."""
        return (column_of(self.name, self.config.column)[0],)


def column_of(name: str, column: str | None) -> tuple[str, str]:
    """Returns the name of the column of modality `name`, and the key of the configuration that names it."""
    return (name, f"data.modalities.{name}") if column is None else (column, f"data.modalities.{name}.column")


def warn_of_missing(raw: RawTable, column: str, present: NDArray[np.bool_], *, modality: str, consequence: str) -> None:
    """Warns that values of a modality are missing in the rows that are not `present` (n,), and says what follows."""
    rows = np.flatnonzero(~present)
    share = f"({100 * len(rows) / len(present):.3g} %)"
    what = f"1 value is missing {share}, in row {rows[0]}"
    if len(rows) > 1:
        what = f"{len(rows)} values are missing {share}, the first in row {rows[0]}"
    text = f"{raw.place(column)}: {what}; {consequence}"
    warnings.warn(MissingValuesWarning(text, modality=modality), stacklevel=2)
