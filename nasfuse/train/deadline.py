"""The time by which a training must end, whether or not all of its epochs fit in."""

import math
import time
from collections.abc import Callable

#: Least number of seconds of a limit, so that shares of it are finite.
_LEAST_S = 1e-3


class Deadline:
    """Time of a training, which begins with the construction of this object.

    A training whose epochs do not fit in lets its learning rate follow the time instead of the steps, so that it is
    near zero when the time is over, and ends with the epochs that it has run.
    """

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Starts the time.

        Args:
            seconds: Time in which the training must end; infinite for no deadline.
            clock: Returns the time in seconds since an arbitrary moment.
        """
        self._seconds = max(seconds, _LEAST_S)
        self._clock = clock
        self._started = self._epoch_began = clock()
        self._shortest, self._last = math.inf, 0.0  # shares of the time that an epoch took
        self._stage_began = 0.0
        self._is_behind = False

    @property
    def share(self) -> float:
        """Share of the time that is used, above 1 when it is over."""
        return (self._clock() - self._started) / self._seconds

    def begin_epochs(self) -> None:
        """Notes that the first epoch begins."""
        self._epoch_began = self._clock()

    def begin_stage(self) -> None:
        """Notes that the learning rate starts again from its highest value."""
        self._stage_began = self.share

    def note_epoch(self, *, left: int) -> None:
        """Notes that an epoch has ended and that there are `left` more."""
        now = self._clock()
        self._last = (now - self._epoch_began) / self._seconds
        self._shortest = min(self._shortest, self._last)
        self._epoch_began = now
        self._is_behind = self.share + left * self._shortest > 1

    @property
    def progress_of_stage(self) -> float:
        """Share of the time of the current stage that is used, at most 1; 0 as long as all epochs seem to fit in."""
        if not self._is_behind:
            return 0.0
        return min((self.share - self._stage_began) / max(1 - self._stage_began, _LEAST_S), 1.0)

    @property
    def is_over(self) -> bool:
        """Whether there is no time for another epoch."""
        return self.share + self._last > 1
