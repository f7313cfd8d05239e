"""A vector of features from columns of numbers, categories and dates."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from nasfuse.data.columns.base import Problem, Reading, Rows, Transform
from nasfuse.data.columns.category import Category
from nasfuse.data.columns.date import Date, parsed_dates
from nasfuse.data.columns.feature import Feature
from nasfuse.data.columns.number import Number, parsed_numbers
from nasfuse.data.layout import ModalityArrays
from nasfuse.data.raw_table import Array, RawTable, missing, texts
from nasfuse.domain.row_counts import check_same_rows
from nasfuse.errors import DataError
from nasfuse.spec.modality import ColumnType, TableConfig

#: Classes of features by type of column.
FEATURES: dict[str, type[Feature]] = {"number": Number, "category": Category, "date": Date}

#: Values that are read before all of them are.
_FIRST = 100


@dataclass(frozen=True)
class TableColumns(Transform):
    """Features of several columns, concatenated in the order of the configuration.

    Attributes:
        name: Name of the modality.
        features: Fitted features by column.
    """

    name: str
    features: dict[str, Feature]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that are read."""
        return tuple(self.features)

    @classmethod
    def fit(cls, name: str, config: TableConfig, raw: RawTable, rows: Rows) -> Self:
        """Returns the transform with the medians, categories and types of the training samples.

        Raises:
            DataError: There is no such column, or its training samples do not tell how to read it.
        """
        features: dict[str, Feature] = {}
        columns = _columns(raw, config.columns, name)
        for column, given in config.columns.items():
            values = columns[column][rows]
            kind = guess_type(values) if given == "auto" else given
            try:
                features[column] = FEATURES[kind].fit(values, config)
            except DataError as error:
                raise DataError(f"{raw.place(column)}: {error}") from None
        return cls(name, features)

    def read(self, raw: RawTable) -> Reading:
        """Returns (n, F) float64.

        Raises:
            DataError: A column is absent, has arrays in its rows, or has another number of rows than the first.
        """
        blocks, problems = [], []
        columns = _columns(raw, self.features, self.name)
        for column, feature in self.features.items():
            block, wrong = feature.encode(columns[column])
            blocks.append(block)
            problems += [
                Problem(row, column, f"{raw.place(column, row)}: {text}", feature.training_advice)
                for row, text in wrong
            ]
        ordered = tuple(sorted(problems, key=lambda problem: problem.row))
        return Reading(ModalityArrays("vector", np.concatenate(blocks, axis=1)), ordered)

    def unknown(self, raw: RawTable) -> dict[str, int]:
        """Returns the number of rows with a category that is not known, by column; only where not 0."""
        counts = {column: one.unknown(_column(raw, column, self.name)) for column, one in self.features.items()}
        return {column: count for column, count in counts.items() if count}

    def state(self) -> dict[str, Any]:
        """Returns the fitted features."""
        kinds = {feature: kind for kind, feature in FEATURES.items()}
        features = [
            {"column": column, "type": kinds[type(one)], **one.state()} for column, one in self.features.items()
        ]
        return {"name": self.name, "features": features}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Returns the transform of a `state`."""
        features = {one["column"]: FEATURES[one["type"]].from_state(one) for one in state["features"]}
        return cls(state["name"], features)


def guess_type(values: Array) -> ColumnType:
    """Returns the type of a column: `number`, `date` or `category`.

    Text is a number or a date if all its values that are not missing can be read as one. Whole numbers of which some
    begin with 0, such as postcodes, are categories.

    >>> guess_type(np.array(["3", "4.5", None], dtype=object)), guess_type(np.array([True, False]))
    ('number', 'number')
    >>> guess_type(np.array(["2024-01-31", "2024-02-01"], dtype=object)), guess_type(np.array(["a", "b"], dtype=object))
    ('date', 'category')
    >>> guess_type(np.array(["00012", "10115"], dtype=object))
    'category'
    """
    if values.dtype.kind in "biuf":
        return "number"
    if values.dtype.kind == "M":
        return "date"
    given = values[~missing(values)]
    for part in (given[:_FIRST], given):  # a few values tell most texts, and parsing all of them is slow
        numbers = not np.isnan(parsed_numbers(part)).any()
        if not len(part) or not (numbers or are_dates(part).all()):
            return "category"
    if numbers and any(re.fullmatch(r"0\d+", text) for text in texts(given)):
        return "category"
    return "number" if numbers else "date"


def are_dates(values: Array) -> NDArray[np.bool_]:
    """Returns the (n,) mask of dates, with the order of day and month that fits most values."""
    masks = [~np.isnat(parsed_dates(values, day_first=day_first)) for day_first in (True, False)]
    return max(masks, key=lambda mask: int(mask.sum()))


def _columns(raw: RawTable, names: Iterable[str], modality: str) -> dict[str, Array]:
    """Returns the columns of a table, which have the same rows.

    Raises:
        DataError: A column is absent, has arrays in its rows, or has another number of rows than the first.
    """
    columns = {name: _column(raw, name, modality) for name in names}
    counts = {name: len(values) for name, values in columns.items()}
    check_same_rows(counts, noun=raw.noun, origin=f" of {raw.origin}")
    return columns


def _column(raw: RawTable, column: str, modality: str) -> Array:
    values = raw.column(column, f"data.modalities.{modality}.columns")
    if values.ndim != 1 or any(isinstance(value, np.ndarray | list) for value in values[:100]):
        raise DataError(
            f"{raw.place(column)} has an array in every row, which is no part of a table; make it a modality of its "
            "own with kind: vector, sequence or image"
        )
    return values
