"""Dates as people write them, in the order of ISO 8601."""

import re

#: Orders of dates other than that of ISO 8601: the year last, the year first, and the month as a word.
_YEAR_LAST = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4})(?:[T, ]+(\d{1,2})(:\d{2}.*?) ?([AaPp][Mm])?)?")
_YEAR_FIRST = re.compile(r"(\d{4})([./-])(\d{1,2})\2(\d{1,2})(.*)")
_WORDS = (
    re.compile(r"(?P<day>\d{1,2})[. -]+(?P<month>[A-Za-z]{3,9})[., -]+(?P<year>\d{4})(?P<time> .*)?"),
    re.compile(r"(?P<month>[A-Za-z]{3,9})[. -]+(?P<day>\d{1,2})[, -]+(?P<year>\d{4})(?P<time> .*)?"),
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def in_iso_order(text: str, *, day_first: bool | None) -> str:
    """Returns a date, with its time if it has one, in the order of ISO 8601; an empty text if it is none.

    Args:
        text: A date in another order: the year first without leading zeros, the year last, or the month as a word.
        day_first: Whether the day is before the month where the year is last; None: these are no dates.

    >>> in_iso_order("31.1.2026 9:30 pm", day_first=True)
    '2026-01-31 21:30'
    """
    found = _YEAR_FIRST.fullmatch(text)
    if found:
        return f"{found[1]}-{found[3]:0>2}-{found[4]:0>2}{_with_two_digits(found[5])}"
    found = next((match for match in (one.fullmatch(text) for one in _WORDS) if match), None)
    if found and found["month"][:3].lower() in _MONTHS:
        month_number = _MONTHS.index(found["month"][:3].lower()) + 1
        return f"{found['year']}-{month_number:02}-{found['day']:0>2}{_with_two_digits(found['time'] or '')}"
    found = _YEAR_LAST.fullmatch(text)
    if not found or day_first is None:
        return ""
    day, month = (found[1], found[3]) if day_first else (found[3], found[1])
    date = f"{found[4]}-{month:0>2}-{day:0>2}"
    if found[5] is None:
        return date
    hour = int(found[5]) if found[7] is None else int(found[5]) % 12 + 12 * (found[7].lower() == "pm")
    return f"{date} {hour:02}{found[6]}"


def _with_two_digits(time: str) -> str:
    """Returns a time, if there is one, with an hour of two digits."""
    return re.sub(r"^([T ])(\d:)", r"\g<1>0\2", time)


def has_year_last(text: str) -> bool:
    """Returns whether a text has the form of a date with the year last, as 31.01.2026 or 01/31/2026 have."""
    return _YEAR_LAST.fullmatch(text) is not None
