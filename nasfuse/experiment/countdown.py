"""Time for what is measured after the last training of a search."""

import math
import time
from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import TypeVar

T = TypeVar("T")


class TimeSpentError(Exception):
    """The time was spent before all was measured."""


class Countdown:
    """A time that runs from the creation of the object."""

    def __init__(self, seconds: float) -> None:
        """Starts `seconds`, which may be infinite."""
        self._end = time.monotonic() + seconds

    def has(self, seconds: float = 0.0) -> bool:
        """Returns whether more than `seconds` are left."""
        return self._end - time.monotonic() > seconds

    def while_left(self, values: Iterable[T]) -> Iterator[T]:
        """Yields values for as long as time is left."""
        return takewhile(lambda _: self.has(), values)


#: The time of measurements without a limit.
UNLIMITED = Countdown(math.inf)
