"""Watch over Ray's own processes on this machine, without which a search cannot go on."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from nasfuse.backends.interrupts import is_ending

#: Seconds between two looks.
_INTERVAL_S = 0.5

#: Seconds in which a signal to all processes, as that of a closed terminal, reaches this one, which then ends in order.
_GRACE_S = 3.0

#: The processes that are watched now.
_watched: Mapping[str, "subprocess.Popen[bytes]"] = {}


@contextmanager
def watching(processes: Mapping[str, "subprocess.Popen[bytes]"]) -> Iterator[None]:
    """Ends this process with a sentence if one of `processes` ends inside the context.

    Calls of Ray would block for a minute, after which Ray ends the process itself. The study is in its
    storage, and `session_janitor` removes what is left.

    Args:
        processes: Name for the user to the process.
    """
    global _watched
    is_over, _watched = threading.Event(), processes
    thread = threading.Thread(target=_watch, args=(processes, is_over), name="watch over Ray", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        _watched = {}


def hold_if_lost() -> None:
    """Returns if all watched processes live; else this process is about to be ended, and records nothing more.

    Trials die with Ray's raylet, which is no fault of theirs.
    """
    while any(process.poll() is not None for process in _watched.values()) and not is_ending():
        time.sleep(_INTERVAL_S)


def _watch(processes: Mapping[str, "subprocess.Popen[bytes]"], is_over: threading.Event) -> None:
    while not is_over.wait(_INTERVAL_S):
        for name, process in processes.items():
            if process.poll() is None or is_over.wait(_GRACE_S) or is_ending():
                continue
            sys.stderr.write(
                f"\nError: {name} on this machine has died, and the search ends with it; run the same command again, "
                "which continues it\n"
            )
            sys.stderr.flush()
            os._exit(1)
