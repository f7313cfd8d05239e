"""Progress of reading and checking data, for whoever displays it."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")

#: Called with what is done, for example `reading photo`, the number of values that are done, and that of all.
Report = Callable[[str, int, int], None]

_REPORT: ContextVar[Report | None] = ContextVar("report", default=None)


@contextmanager
def reporting(report: Report) -> Iterator[None]:
    """Calls `report` whenever values are done in this context."""
    token = _REPORT.set(report)
    try:
        yield
    finally:
        _REPORT.reset(token)


def progressed(what: str, done: int, total: int) -> None:
    """Passes progress to the `report` of the context, if there is one."""
    report = _REPORT.get()
    if report is not None:
        report(what, done, total)


def tracked(what: str, values: Iterable[T], *, total: int) -> list[T]:
    """Returns the `values`, of which there are `total`, and passes on progress before the first and after each."""
    found: list[T] = []
    progressed(what, 0, total)
    for value in values:
        found.append(value)
        progressed(what, len(found), total)
    return found
