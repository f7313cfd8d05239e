"""Progress of the computation of features, for whoever displays it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

#: Called with what is computed, the number of values that are done, and that of all.
Report = Callable[[str, int, int], None]

_REPORT: ContextVar[Report | None] = ContextVar("report", default=None)


@contextmanager
def reporting(report: Report) -> Iterator[None]:
    """Calls `report` after every batch whose features are computed in this context."""
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
