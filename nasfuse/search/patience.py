"""Patience with a storage that does not answer: what is written to it is tried again for some minutes."""

import time
from collections.abc import Callable
from typing import TypeVar

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import DBAPIError

from nasfuse.errors import RunFolderError

Result = TypeVar("Result")

#: Seconds after which a search ends whose storage does not answer.
LONGEST_OUTAGE_S = 600.0

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 10.0

#: Errors of a server that is away, of a connection that was cut, and of a file that another process has locked.
OUTAGES = (StorageInternalError, DBAPIError, OSError)


class Patience:
    """Calls a storage, and again while it does not answer.

    The caller waits meanwhile, so nothing is lost: what was measured is in memory, and trainings go on.
    """

    def __init__(
        self,
        *,
        note: Callable[[str], None] = lambda _text: None,
        is_ending: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Keeps the arguments.

        Args:
            note: Called with a sentence when an outage begins, and when it is over.
            is_ending: Returns whether somebody has asked the program to end; an outage is then not waited for.
            clock: Returns the time in seconds since an arbitrary moment.
            sleep: Waits for a number of seconds.
        """
        self._note, self._is_ending, self._clock, self._sleep = note, is_ending, clock, sleep

    def __call__(self, call: Callable[[], Result], *, settled: Callable[[], Result | None] = lambda: None) -> Result:
        """Returns the result of `call`, which is called until the storage answers.

        Args:
            call: Writes to the storage, or reads from it.
            settled: Returns the result of an earlier call whose answer was lost although it was carried out, and None
                where it was not; needed where a second call would not do the same.

        Raises:
            RunFolderError: The storage did not answer for `LONGEST_OUTAGE_S`, or while the program was asked to end.
        """
        try:
            return call()
        except OUTAGES as error:
            first = error
        began, wait = self._clock(), _FIRST_WAIT_S
        reason = str(first.__cause__ or first).splitlines()[0]
        self._note(
            f"the storage does not answer, and is waited for up to {LONGEST_OUTAGE_S / 60:.0f} minutes: {reason}"
        )
        while self._clock() - began < LONGEST_OUTAGE_S and not self._is_ending():
            self._sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT_S)
            try:
                result = settled()
                result = call() if result is None else result
            except OUTAGES:
                continue
            self._note(f"the storage answers again, after {self._clock() - began:.0f} s")
            return result
        raise RunFolderError(
            f"the storage of the study has not answered for {self._clock() - began:.0f} s: {reason}; when it is back, "
            "run the same command again, which continues the search"
        ) from first
