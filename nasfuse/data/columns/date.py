"""A column of dates as numbers: the days since 1970, and the positions in the year, the week and the day."""

import warnings
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nasfuse.data.columns.feature import Feature, Floats, Wrong
from nasfuse.data.raw_table import Array, missing
from nasfuse.spec.modality import TableConfig

Dates = NDArray[np.datetime64]

_DAY_S = 86400.0
#: Days after which the position in the year, and in the week, is the same again.
_YEAR, _WEEK = 365.2425, 7.0


@dataclass(frozen=True)
class Date(Feature):
    """Days since 1970, sine and cosine of the positions in the year, the week and the day, and whether it is missing.

    Attributes:
        median: Median day of the training samples, for missing dates.
        has_time: Whether there are features of the position in the day: where training samples have times of the day.
        has_indicator: Whether there is an indicator of missing dates: where training samples miss some.
    """

    median: float
    has_time: bool
    has_indicator: bool

    @classmethod
    def fit(cls, values: Array, config: TableConfig) -> Self:
        """Returns the features of training values (k,)."""
        days = _days(parsed_dates(values))
        usable = days[~np.isnan(days)]
        median = float(np.median(usable)) if len(usable) else 0.0
        return cls(median, bool((usable % 1.0 != 0).any()), len(usable) < len(days))

    def encode(self, values: Array) -> tuple[Floats, Wrong]:
        """Returns (n, f) features, f from 5 to 8."""
        days, absent = _days(parsed_dates(values)), missing(values)
        gone = np.isnan(days)
        wrong = [
            (int(row), f"must be a date such as 2026-01-31, got {values[row]!r}; correct it, or make it a category")
            for row in np.flatnonzero(gone & ~absent)
        ]
        days = np.where(gone, self.median, days)
        features = [days]
        for period in (_YEAR, _WEEK, *[1.0] * self.has_time):
            features += [np.sin(2 * np.pi * days / period), np.cos(2 * np.pi * days / period)]
        if self.has_indicator:
            features.append(gone.astype(np.float64))
        return np.stack(features, axis=1), wrong

    def state(self) -> dict[str, Any]:
        """Returns what was fitted."""
        return {"median": self.median, "has_time": self.has_time, "has_indicator": self.has_indicator}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Returns the features of a `state`."""
        return cls(state["median"], state["has_time"], state["has_indicator"])


def parsed_dates(values: Array) -> Dates:
    """Returns the values (n,) as dates; not-a-time where they are missing or no date. Times with a zone become UTC.

    >>> parsed_dates(np.array(["2024-01-31", "?"], dtype=object)).astype("datetime64[D]")
    array(['2024-01-31',        'NaT'], dtype='datetime64[D]')
    """
    if values.dtype.kind == "M":
        return values
    if values.dtype.kind in "biuf":
        return np.full(len(values), np.datetime64("NaT"), "datetime64[s]")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Could not infer format", UserWarning)  # it then reads each by itself
        found = pd.to_datetime(pd.Series(values, dtype=object), errors="coerce", utc=True)
    return np.asarray(found.dt.tz_localize(None), "datetime64[us]")


def _days(dates: Dates) -> Floats:
    seconds = dates.astype("datetime64[us]").astype(np.int64) / 1e6
    return np.where(np.isnat(dates), np.nan, seconds / _DAY_S)
