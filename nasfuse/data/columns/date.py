"""A column of dates as numbers: the days since 1970, and the positions in the year, the week and the day."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from nasfuse.data.columns.feature import Feature, Floats, Wrong
from nasfuse.data.raw_table import Array, missing, texts
from nasfuse.domain.date_text import has_year_last, in_iso_order
from nasfuse.errors import DataError
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
        day_first: Whether the day is before the month in dates such as 31.01.2026; None: there are none.
    """

    training_advice: ClassVar[str] = "or make the column a category"

    median: float
    has_time: bool
    has_indicator: bool
    day_first: bool | None

    @classmethod
    def fit(cls, values: Array, config: TableConfig) -> Self:
        """Returns the features of training values (k,).

        Raises:
            DataError: The values do not tell days from months.
        """
        day_first = _day_first(values) if config.day_first is None else config.day_first
        days = _days(parsed_dates(values, day_first=day_first))
        usable = days[~np.isnan(days)]
        median = float(np.median(usable)) if len(usable) else 0.0
        return cls(median, bool((usable % 1.0 != 0).any()), len(usable) < len(days), day_first)

    def encode(self, values: Array) -> tuple[Floats, Wrong]:
        """Returns (n, f) features, f from 5 to 8."""
        days, absent = _days(parsed_dates(values, day_first=self.day_first)), missing(values)
        gone = np.isnan(days)
        example = {None: "", True: " or 31.01.2026", False: " or 01/31/2026"}[self.day_first]
        wanted = f"must be a date such as 2026-01-31{example}"
        wrong = [
            (row, f"{wanted}, got {values.item(row)!r}; correct it") for row in np.flatnonzero(gone & ~absent).tolist()
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
        return {
            "median": self.median,
            "has_time": self.has_time,
            "has_indicator": self.has_indicator,
            "day_first": self.day_first,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Returns the features of a `state`."""
        return cls(state["median"], state["has_time"], state["has_indicator"], state.get("day_first"))


def parsed_dates(values: Array, *, day_first: bool | None = None) -> Dates:
    """Returns the values (n,) as dates; not-a-time where they are missing or no date. Times with a zone become UTC.

    A value is read in the same way whatever the others are.

    Args:
        values: Dates, or texts with the year first, or with the year last.
        day_first: Whether the day is before the month in texts with the year last; None: these are no dates.

    >>> parsed_dates(np.array(["2024-01-31", "?"], dtype=object)).astype("datetime64[D]")
    array(['2024-01-31',        'NaT'], dtype='datetime64[D]')
    """
    if values.dtype.kind == "M":
        return values
    if values.dtype.kind in "biuf":
        return np.full(len(values), np.datetime64("NaT"), "datetime64[s]")
    import pandas as pd  # slow to import, and needed for texts alone

    codes, given = pd.factorize(np.array(texts(values), dtype=object))  # many rows have the same date
    dates = _iso_dates(given)
    others = np.flatnonzero(np.isnat(dates))
    dates[others] = _iso_dates(
        np.array([in_iso_order(text, day_first=day_first) for text in given[others]], dtype=object)
    )
    return np.asarray(dates[codes], "datetime64[us]")


def _iso_dates(given: Array) -> Dates:
    import pandas as pd

    found = pd.to_datetime(pd.Series(given, dtype=object), format="ISO8601", errors="coerce", utc=True)
    return np.array(found.dt.tz_localize(None), "datetime64[us]")


def _day_first(values: Array) -> bool | None:
    """Returns the order of day and month with which most texts with the year last are dates; None without any.

    Raises:
        DataError: Both orders fit as many values, and not all of these have dots.
    """
    if values.dtype.kind not in "OU":
        return None
    open_ = [text for text in texts(values) if has_year_last(text)]
    if not open_:
        return None
    given = np.array(open_, dtype=object)
    by_day, by_month = (int((~np.isnat(parsed_dates(given, day_first=first))).sum()) for first in (True, False))
    if by_day == by_month and not all("." in text.split()[0] for text in open_):
        raise DataError(
            f"dates such as {open_[0]!r} can have the day or the month first; write them as 2026-01-31, or set "
            "day_first: true or false beside the columns of the table"
        )
    return by_day >= by_month


def _days(dates: Dates) -> Floats:
    seconds = dates.astype("datetime64[us]").astype(np.int64) / 1e6
    return np.where(np.isnat(dates), np.nan, seconds / _DAY_S)
