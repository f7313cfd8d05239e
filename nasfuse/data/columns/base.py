"""Interface of the transforms from raw columns to the arrays of a modality."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from nasfuse.data.layout import ModalityArrays
from nasfuse.data.raw_table import RawTable
from nasfuse.errors import DataWarning

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Problem:
    """A value of a row that cannot be used, for example a file that does not exist.

    Attributes:
        row: Row, counted from 0.
        column: Name of the column.
        message: One sentence that names column, file and row, and says what to do.
    """

    row: int
    column: str
    message: str


@dataclass(frozen=True)
class Reading:
    """The arrays of a modality, read from raw columns.

    Attributes:
        arrays: Arrays of all rows. Rows with a problem have the values of a missing one.
        problems: Values that cannot be used, ordered by row.
    """

    arrays: ModalityArrays
    problems: tuple[Problem, ...] = ()


class Transform(ABC):
    """Turns raw columns into the arrays of one modality, with what it learned from the training samples."""

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

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Returns the transform as plain values and tensors, which torch loads with `weights_only=True`."""

    @classmethod
    @abstractmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Returns the transform of a `state`."""


def column_of(name: str, column: str | None) -> tuple[str, str]:
    """Returns the name of the column of modality `name`, and the key of the configuration that names it."""
    return (name, f"data.modalities.{name}") if column is None else (column, f"data.modalities.{name}.column")


def warn_of_missing(raw: RawTable, column: str, rows: Sequence[int], *, instead: str) -> None:
    """Warns that the values of `rows` are missing, and says what is used `instead`; without rows it does nothing."""
    if rows:
        what = f"1 value is missing, in row {rows[0]}"
        if len(rows) > 1:
            what = f"{len(rows)} values are missing, the first in row {rows[0]}"
        warnings.warn(f"{raw.place(column)}: {what}; {instead} is used instead", DataWarning, stacklevel=2)
