"""The private folder of a local Ray session: a path short enough for its sockets, readable by its owner alone."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nasfuse.backends import session_janitor
from nasfuse.errors import InvalidInputError

_PREFIX = "nf-"

#: What Ray adds to the folder it is given, at its longest: the process id has up to seven digits.
_LONGEST_SOCKET = "/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store"

#: Longest address of a socket in bytes: 107 on Linux, 103 on macOS.
_LONGEST_ADDRESS = 103

#: Held locked by the driver as long as it lives. Its name appears when it is locked already.
_OWNER = "owner"

#: The folder for Ray.
_RAY = "r"


@contextmanager
def session_folder() -> Iterator[Path]:
    """Yields a new folder for Ray that no other user can enter, and removes it at the end.

    A janitor, a process of its own, ends the processes that were started with `session_janitor.SESSION` in their
    environment, as is that of this process inside the context, and removes the folder, also if this process is killed.
    Folders that drivers and janitors killed together have left are emptied and removed, too.

    Raises:
        InvalidInputError: No folder for temporary files is writable and has a path that is short enough.
    """
    _remove_abandoned()
    root = _create()
    with _janitor(root), (root / "new").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        (root / "new").rename(root / _OWNER)
        folder = root / _RAY  # Ray opens the folder it is given to everybody
        folder.mkdir()
        yield folder


@contextmanager
def _janitor(root: Path) -> Iterator[None]:
    """Runs the janitor of a session; at the end of the context its work is awaited."""
    command = [sys.executable, "-I", "-S", session_janitor.__file__, str(root)]
    janitor = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    os.environ[session_janitor.SESSION] = str(root)
    try:
        yield
    finally:
        del os.environ[session_janitor.SESSION]
        janitor.communicate()


def _places() -> list[Path]:
    """Returns where session folders may lie, the most wanted first; the last two are usually in memory."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    named = [tempfile.gettempdir(), "/tmp", "/var/tmp", *([runtime] if runtime else []), "/dev/shm"]
    return list(dict.fromkeys(Path(os.path.realpath(name)) for name in named))


def _create() -> Path:
    for place in _places():
        sample = f"{place / _PREFIX}{'x' * 8}/r{_LONGEST_SOCKET}"
        if len(os.fsencode(sample)) > _LONGEST_ADDRESS:
            continue
        try:
            return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))  # of mode 700
        except OSError:
            continue
    longest = _LONGEST_ADDRESS - len(f"/{_PREFIX}xxxxxxxx/r{_LONGEST_SOCKET}")
    tried = ", ".join(str(place) for place in _places())
    raise InvalidInputError(
        f"Ray needs a writable folder with a path of at most {longest} bytes for its sockets; tried {tried}. "
        "Set TMPDIR to one."
    )


def _remove_abandoned() -> None:
    """Removes the folders of drivers of this user that no longer live, in every place where one may lie.

    Processes of Ray may outlive a killed driver by minutes, and create their folders again. A folder with their files
    is therefore emptied first, and removed at a later start, when it has stayed empty: what is created again lies
    below a folder that only this user can enter.
    """
    for place in _places():
        for root in place.glob(f"{_PREFIX}*"):
            try:
                if root.stat().st_uid == os.getuid() and _is_abandoned(root):
                    _remove(root)
            except OSError:  # of another user, or just removed by another driver
                continue


def _is_abandoned(root: Path) -> bool:
    """Returns whether the driver of a session folder is dead; one without an owner file was created again by Ray."""
    has_ray = (root / _RAY).is_dir()  # checked first, because a driver writes its owner file first
    owner = root / _OWNER
    return _is_free(owner) if owner.exists() else has_ray


def _remove(root: Path) -> None:
    folder = root / _RAY
    had_files = (root / _OWNER).exists() and folder.is_dir() and any(folder.iterdir())
    shutil.rmtree(folder if had_files else root, ignore_errors=True)


def _is_free(owner: Path) -> bool:
    """Returns whether no process holds the lock of an owner file."""
    with owner.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
