"""A column of numbers as a feature, with an indicator of missing values."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from nasfuse.data.columns.feature import Feature, Floats, Wrong
from nasfuse.data.raw_table import Array, missing
from nasfuse.spec.modality import TableConfig


@dataclass(frozen=True)
class Number(Feature):
    """The number itself, with the median of the training samples for a missing one, and whether it is missing.

    Attributes:
        median: Median of the training samples.
        has_indicator: Whether there is a second feature, 1 for a missing number: where training samples miss some.
    """

    training_advice: ClassVar[str] = "or make the column a category"

    median: float
    has_indicator: bool

    @classmethod
    def fit(cls, values: Array, config: TableConfig) -> Self:
        """Returns the features of training values (k,)."""
        numbers = parsed_numbers(values)
        usable = np.isfinite(numbers)
        median = float(np.median(numbers[usable])) if usable.any() else 0.0
        return cls(median, bool(np.isnan(numbers).any()))

    def encode(self, values: Array) -> tuple[Floats, Wrong]:
        """Returns (n, 1) numbers, or (n, 2) with the indicator."""
        numbers, absent = parsed_numbers(values), missing(values)
        wrong = [
            (int(row), f"must be a finite number, got {_shown(values[row])}; correct it")
            for row in np.flatnonzero(~np.isfinite(numbers) & ~absent)
        ]
        gone = ~np.isfinite(numbers)
        filled = np.where(gone, self.median, numbers)
        features = [filled, gone.astype(np.float64)] if self.has_indicator else [filled]
        return np.stack(features, axis=1), wrong

    def state(self) -> dict[str, Any]:
        """Returns median and indicator."""
        return {"median": self.median, "has_indicator": self.has_indicator}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Returns the features of a `state`."""
        return cls(state["median"], state["has_indicator"])


def parsed_numbers(values: Array) -> Floats:
    """Returns the values (n,) as float64; NaN where they are missing or no number.

    >>> parsed_numbers(np.array(["1.5", "x", None, True], dtype=object))
    array([1.5, nan, nan, 1. ])
    """
    if values.dtype.kind in "biuf":
        return values.astype(np.float64)
    if values.dtype.kind == "M":
        return np.full(len(values), np.nan)
    import pandas as pd  # slow to import, and needed for texts alone

    return np.asarray(pd.to_numeric(pd.Series(values, dtype=object), errors="coerce"), np.float64)


def _shown(value: Any) -> str:
    return repr(value.item() if isinstance(value, np.generic) else value)
