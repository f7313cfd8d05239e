"""Columns of numbers, categories, dates and texts as arrays, as `nasfuse.data.columns` has them."""

import math
import re
import zlib
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasfuse.domain.date_text import in_iso_order
from nasfuse.domain.row_counts import check_same_rows
from nasfuse.errors import DataError

Array = NDArray[Any]

_DAY_S = 86400.0
_YEAR, _WEEK = 365.2425, 7.0


def table(features: list[dict[str, Any]], data: Mapping[str, Any]) -> Array:
    """Returns the (n, F) float64 features of the columns of a table.

    Args:
        features: Entry `features` of the manifest, one for each column.
        data: Values by column.

    Raises:
        DataError: A column is absent, has another number of rows than the first, or a value is no number or no date.
    """
    columns = {one["column"]: _column(data, one["column"]) for one in features}
    check_same_rows({name: len(values) for name, values in columns.items()}, noun="column")
    return np.concatenate([_FEATURES[one["type"]](one, columns[one["column"]]) for one in features], axis=1)


def tokens(text: Mapping[str, Any], data: Mapping[str, Any]) -> tuple[Array, Array, Array]:
    """Returns (n, T) ids of the words of a column, their lengths (n,), and which rows have a text (n,)."""
    values = _column(data, text["column"])
    named, absent = _texts(values), _missing(values)
    number_of = {word: number for number, word in enumerate(text["words"], start=1)}
    first, n_shared = 1 + len(number_of), text["n_shared"]
    ids, lengths = np.zeros((len(named), text["n_steps"]), np.int64), np.zeros(len(named), np.int64)
    for row, one in enumerate(named):
        words = re.findall(r"\w+(?:['\u2019]\w+)*|[^\w\s]", one.casefold()) or [""]
        found = [number_of.get(word) or first + zlib.crc32(word.encode()) % n_shared for word in words]
        lengths[row] = min(len(found), text["n_steps"])
        ids[row, : lengths[row]] = found[: text["n_steps"]]
    return ids, lengths, ~absent


def _number(feature: Mapping[str, Any], values: Array) -> Array:
    absent = _missing(values)
    numbers = np.full(len(values), np.nan)
    for row in np.flatnonzero(~absent):
        try:
            numbers[row] = float(values[row])
        except (TypeError, ValueError):
            numbers[row] = np.inf
    _check(np.isinf(numbers), feature["column"], values, "must be a finite number")
    filled = np.where(absent, feature["median"], numbers)
    return np.stack([filled, absent.astype(np.float64)] if feature["has_indicator"] else [filled], axis=1)


def _category(feature: Mapping[str, Any], values: Array) -> Array:
    names = feature["names"]
    numbers = {name: number for number, name in enumerate(names)}
    codes = [numbers.get(text, len(names)) for text in _texts(values)]
    found = np.eye(len(names) + 1)[codes]
    return found if feature["has_rare"] else found[:, :-1]


def _date(feature: Mapping[str, Any], values: Array) -> Array:
    absent = _missing(values)
    days = np.full(len(values), np.nan)
    for row in np.flatnonzero(~absent):
        days[row] = _day(values[row], day_first=feature.get("day_first"))
    _check(np.isinf(days), feature["column"], values, "must be a date such as 2026-01-31")
    days = np.where(absent, feature["median"], days)
    found = [days]
    for period in (_YEAR, _WEEK, *[1.0] * feature["has_time"]):
        found += [np.sin(2 * np.pi * days / period), np.cos(2 * np.pi * days / period)]
    return np.stack([*found, *[absent.astype(np.float64)] * feature["has_indicator"]], axis=1)


def _day(value: Any, *, day_first: bool | None) -> float:
    """Returns the days since 1970 of a date or a text; infinity if it is none. Times with a zone become UTC."""
    if not isinstance(value, str):
        return _days_of(value)
    text = value.strip()
    day = _days_of(text)
    return _days_of(in_iso_order(text, day_first=day_first)) if math.isinf(day) else day


def _days_of(value: Any) -> float:
    with suppress(ValueError, TypeError):
        moment = datetime.fromisoformat(value)
        value = moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    try:  # a year, or a year and a month, is a date too
        date = np.datetime64(value).astype("datetime64[us]")
    except ValueError:  # also a number, which has no unit
        return math.inf
    return math.inf if np.isnat(date) else float(date.astype(np.int64)) / 1e6 / _DAY_S


_FEATURES = {"number": _number, "category": _category, "date": _date}


def _check(bad: Array, column: str, values: Array, rule: str) -> None:
    if bad.any():
        row = int(bad.argmax())
        raise DataError(f"column {column}, row {row} {rule}, got {values[row : row + 1].tolist()[0]!r}; correct it")


def _column(data: Mapping[str, Any], name: str) -> Array:
    if name not in data:
        raise DataError(f"the data have no column {name!r}; add it, they have {', '.join(map(repr, data))}")
    try:
        values = np.asarray(data[name])
    except ValueError as error:
        raise DataError(f"column {name} must have one value in each row, got lists of several; correct it") from error
    if values.ndim != 1:
        raise DataError(f"column {name} must have one value in each row, got the shape {values.shape}; correct it")
    return values


def _missing(values: Array) -> NDArray[np.bool_]:
    """Returns the (n,) mask of missing values: NaN, not-a-time, None or an empty text."""
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind == "M":
        return np.isnat(values)
    return np.array([one is None or one != one or (isinstance(one, str) and not one.strip()) for one in values], bool)


def _texts(values: Array) -> list[str]:
    """Returns the values as text; missing ones are empty, whole numbers have no decimal point."""
    return ["" if gone else _text(one) for one, gone in zip(values.tolist(), _missing(values), strict=True)]


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
