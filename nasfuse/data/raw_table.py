"""Raw data: the columns of a table or the arrays of a file as they were read, before they become modalities."""

import difflib
import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasfuse.errors import DataError, listed

Array = NDArray[Any]

#: Least similarity of the names of columns, from 0 to 1, of which one may be meant by the other.
_LEAST_SIMILARITY = 0.8


@dataclass(frozen=True)
class RawTable:
    """Columns of a table, or arrays of a file. Neither a target nor splits are required.

    Attributes:
        name: Name in reports, for example the name of the file without its ending.
        origin: File or object in messages.
        columns: Values by name: (n, ...) numbers, booleans or `datetime64`, or (n,) objects: text, or arrays of
            different shapes, with None for a missing value.
        n_rows: Number of rows; None for the arrays of a file, which may have different numbers of rows.
        folder: Folder to which paths in columns are relative.
        layout: What a folder was taken for, for messages; empty for a file.
        expected: Names of columns that are known, which are never proposed for an absent one.
    """

    name: str
    origin: str
    columns: Mapping[str, Array]
    n_rows: int | None
    folder: Path = field(default=Path())
    layout: str = ""
    expected: Collection[str] = ()

    @property
    def noun(self) -> str:
        """Returns what a member is called: `array` or `column`."""
        return "array" if self.n_rows is None else "column"

    def column(self, name: str, where: str) -> Array:
        """Returns the column or array called `name`.

        Args:
            name: Name of the column.
            where: Key of the configuration that names it, for the message.

        Raises:
            DataError: There is no such column.
        """
        if name not in self.columns:
            layout = f"; it was read as {self.layout}" if self.layout else ""
            hint = nearest_column(name, self.columns, expected=self.expected)
            raise DataError(f"{self.origin} has no {self.noun} {name!r} ({where}){layout}; {hint}")
        return self.columns[name]

    def place(self, column: str, row: int | None = None) -> str:
        """Returns `column NAME of FILE`, and the row counted from 0, for messages."""
        at = "" if row is None else f", row {row}"
        return f"{self.noun} {column} of {self.origin}{at}"


def nearest_column(name: str, known: Iterable[str], *, expected: Collection[str] = ()) -> str:
    """Returns a hint for an absent column or array: the one that may be meant, if there is one, and all of them.

    Columns of a table may have similar names although they are different things, so only a misspelling is proposed.

    Args:
        name: Name of the absent column.
        known: Names of the columns that are there.
        expected: Names of those among them that are not meant, because they are known under their own names.

    >>> nearest_column("lable", ["Label", "table"]), nearest_column("f_12", ["f_13"]), nearest_column("v", [])
    ("did you mean 'Label'? Known: Label, table", 'Known: f_13', 'Known: none')
    """
    names = sorted(known)
    similar = {one: _similarity(name.casefold(), one.casefold()) for one in names if one not in expected}
    best = max(similar, key=lambda one: similar[one], default="")
    hint = f"did you mean {best!r}? " if similar.get(best, 0.0) >= _LEAST_SIMILARITY else ""
    return f"{hint}Known: {listed(names) if names else 'none'}"


def _similarity(name: str, other: str) -> float:
    """Returns the similarity of two names from 0 to 1: 0 if the numbers in them differ, 1 if letters changed places."""
    if re.sub(r"\D", "", name) != re.sub(r"\D", "", other):
        return 0.0
    return 1.0 if sorted(name) == sorted(other) else difflib.SequenceMatcher(None, name, other).ratio()


def missing(values: Array) -> NDArray[np.bool_]:
    """Returns the (n,) mask of missing values: NaN, not-a-time, None or, in text, an empty string.

    >>> missing(np.array(["red", "", None], dtype=object))
    array([False,  True,  True])
    >>> missing(np.zeros((0, 3)))
    array([], dtype=bool)
    """
    if values.dtype.kind == "f":
        return np.asarray(np.isnan(values).reshape(len(values), math.prod(values.shape[1:])).all(axis=1), bool)
    if values.dtype.kind in "mM":
        return np.asarray(np.isnat(values))
    if values.dtype.kind == "O":
        return np.fromiter((_is_missing(value) for value in values), bool, len(values))
    if values.dtype.kind == "U":
        return np.asarray(values == "")
    return np.zeros(len(values), bool)


def _is_missing(value: Any) -> bool:
    if value is None:
        return True
    if isinstance(value, str):
        return not value.strip()
    return isinstance(value, float) and value != value


def texts(values: Array) -> list[str]:
    """Returns the values of a column as text; missing ones are empty, whole numbers have no decimal point.

    >>> texts(np.array([1.0, np.nan, 2.5]))
    ['1', '', '2.5']
    """
    absent = missing(values)
    return ["" if gone else _text(value) for value, gone in zip(values.tolist(), absent, strict=True)]


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.strip() if isinstance(value, str) else str(value)
