"""Program that ends what is left of a local Ray session once its driver has ended, in whatever way.

It is run by its path, in a process of its own that no signal to the driver reaches, and imports nothing of nasfuse.
"""

import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

#: Environment variable of all processes of a session: the folder of the session.
SESSION = "NASFUSE_RAY_SESSION"

#: Seconds between two looks for processes, and the looks without one after which all have ended.
_INTERVAL_S, _ENOUGH_LOOKS = 0.1, 3

#: Seconds after which a process that does not die, as one that waits for a disk, is left alone.
_LONGEST_S = 60.0


def end_session(root: Path) -> None:
    """Kills the processes of a session, until none starts any more, and removes its folder."""
    n_looks, deadline = 0, time.monotonic() + _LONGEST_S
    while n_looks < _ENOUGH_LOOKS and time.monotonic() < deadline:
        found = _processes_of(root)
        for pid in found:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        n_looks = 0 if found else n_looks + 1
        time.sleep(_INTERVAL_S)
    shutil.rmtree(root, ignore_errors=True)


def _processes_of(root: Path) -> list[int]:
    """Returns the processes that were started with `SESSION` set to `root`; none where there is no `/proc`."""
    variable = f"{SESSION}={root}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # of another user, or just ended
            if variable in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


if __name__ == "__main__":
    sys.stdin.buffer.read()  # the driver holds the other end, and writes nothing
    end_session(Path(sys.argv[1]))
