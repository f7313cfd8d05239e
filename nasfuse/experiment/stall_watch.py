"""Watch over a training: a process in which nothing goes on is ended, so that the trial goes on in another one."""

import faulthandler
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Seconds until the end of the first epoch, for which data are read and compiled.
FIRST_S = 7200.0

#: Longest time of a further epoch, and of the measurement: so many times that of the longest epoch, but not below.
FACTOR, LEAST_S = 30.0, 600.0


class StallWatch:
    """Ends the process if `goes_on` is not called in time; see `watching`."""

    def __init__(self, descriptor: int, limit_s: float | None) -> None:
        """Starts to watch; the stacks of a process that is ended are written to the file `descriptor`."""
        self._descriptor, self._given = descriptor, limit_s
        self._longest = 0.0
        self._since = time.monotonic()
        self._arm(FIRST_S if limit_s is None else limit_s)

    def goes_on(self) -> None:
        """Notes that an epoch has ended."""
        now = time.monotonic()
        self._longest, self._since = max(self._longest, now - self._since), now
        self._arm(max(FACTOR * self._longest, LEAST_S) if self._given is None else self._given)

    def _arm(self, seconds: float) -> None:
        # A thread of C, which needs no lock of the interpreter: it also ends a process that hangs in C code.
        faulthandler.dump_traceback_later(seconds, exit=True, file=self._descriptor)


@contextmanager
def watching(folder: Path, *, limit_s: float | None) -> Iterator[StallWatch]:
    """Yields the watch of a training.

    Args:
        folder: Folder of the trial; where its process hung is then in `stall.txt`.
        limit_s: Longest time of an epoch in seconds; None: `FIRST_S` for the first one, then `FACTOR` times that of the
            longest so far, but at least `LEAST_S`.
    """
    folder.mkdir(exist_ok=True)  # without its parents: a run folder that was moved is not created again
    file = folder / "stall.txt"
    with file.open("w", encoding="utf-8") as stream:
        try:
            yield StallWatch(stream.fileno(), limit_s)
        finally:
            faulthandler.cancel_dump_traceback_later()
            file.unlink()
