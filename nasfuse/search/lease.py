"""Lease of a study in a shared storage: one driver at a time, and another one after it has ended or died."""

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self

from optuna.exceptions import DuplicatedStudyError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection

from nasfuse.errors import RunFolderError
from nasfuse.search.patience import OUTAGES

#: Seconds between two signs of life of a driver.
BEAT_S = 10.0

#: Seconds without a sign of life after which a driver is dead.
DEAD_AFTER_S = 60.0

#: Attributes of the study in a storage that stands for a driver: who it is, and its sign of life.
HOLDER, BEAT = "holder", "beat"


def lease_name(study: str) -> str:
    """Returns the name of the study in a storage that stands for the lease of `study`.

    A storage has a name only once, so that of several drivers that create it at a time one succeeds.
    """
    return f"{study} (driver)"


@dataclass(frozen=True)
class Holder:
    """What a driver writes about itself: a token of its own, its machine and its process."""

    token: str
    host: str
    pid: int

    @classmethod
    def here(cls) -> Self:
        """Returns a new token, this machine and this process."""
        return cls(uuid.uuid4().hex, socket.gethostname(), os.getpid())

    def is_here(self) -> bool:
        """Returns whether it runs, or ran, on this machine."""
        return self.host == socket.gethostname()

    def is_gone(self) -> bool:
        """Returns whether it ran on this machine, where its process no longer exists."""
        if not self.is_here():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:  # of another user
            return False
        return False


class TakenOverError(RunFolderError):
    """Other drivers have taken this one for dead, and continue its trials."""

    @classmethod
    def of(cls, study: str) -> Self:
        """Returns the error of a driver of `study`."""
        return cls(
            f"another search has taken study {study} over, as this one gave no sign of life for "
            f"{DEAD_AFTER_S:.0f} s; it continues there"
        )


class Lease:
    """The right to write to a study; see `leased`.

    Attributes:
        number: Identifier of the study in the storage that stands for the lease.
    """

    def __init__(self, storage: BaseStorage, study: str, number: int) -> None:
        """Keeps what `leased` has created in `storage`."""
        self._storage, self._study = storage, study
        self.number = number
        self._n_beats = 0
        self._is_lost = False

    def beat(self) -> None:
        """Gives a sign of life; a storage that does not answer is tried again at the next one."""
        self._n_beats += 1
        try:
            self._storage.set_study_system_attr(self.number, BEAT, self._n_beats)
        except KeyError:
            self._is_lost = True
        except OUTAGES:
            pass

    def check(self) -> None:
        """Raises TakenOverError if another driver has taken the study over."""
        if self._is_lost:
            raise TakenOverError.of(self._study)


@contextmanager
def beating(beat: Callable[[], None]) -> Iterator[None]:
    """Calls `beat` every `BEAT_S` seconds inside the block, in a thread of its own."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(BEAT_S):
            beat()

    thread = threading.Thread(target=run, name="sign of life", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def leased(
    storage: BaseStorage,
    study: str,
    *,
    note: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Lease]:
    """Waits until no other driver has the lease of `study`, and holds it inside the block.

    Args:
        storage: Storage that several drivers may share.
        study: Name of the study.
        note: Called with a sentence when another driver has the lease, and when a dead one's is taken over.
        clock: Returns the time in seconds since an arbitrary moment.
        sleep: Waits for a number of seconds.
    """
    lease = _acquire(storage, study, note=note, clock=clock, sleep=sleep)
    try:
        with beating(lease.beat):
            yield lease
    finally:
        with suppress(KeyError, *OUTAGES):
            storage.delete_study(lease.number)


def _acquire(
    storage: BaseStorage,
    study: str,
    *,
    note: Callable[[str], None],
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Lease:
    seen: tuple[Any, Any] | None = None
    told = False
    since = clock()
    while True:
        holder = Holder.here()
        try:
            with suppress(DuplicatedStudyError):
                lease_id = storage.create_new_study([StudyDirection.MINIMIZE], lease_name(study))
                storage.set_study_system_attr(lease_id, HOLDER, vars(holder))
                return Lease(storage, study, lease_id)
            lease_id = storage.get_study_id_from_name(lease_name(study))
            attributes = storage.get_study_system_attrs(lease_id)
        except KeyError:  # has just been released
            continue
        except OUTAGES:  # the other search can give no sign of life either
            seen = None
            sleep(BEAT_S / 2)
            continue
        other = Holder(**attributes[HOLDER]) if HOLDER in attributes else None
        state = (lease_id, attributes.get(BEAT))
        if not told and other is not None and not other.is_gone():
            told = True
            note(f"waiting for another search of {study}, on {other.host} (process {other.pid}), to end")
        if state != seen:
            seen, since = state, clock()
        if (other is not None and other.is_gone()) or clock() - since >= DEAD_AFTER_S:
            note(f"taking {study} over from a search that has died")
            with suppress(KeyError):  # another driver was faster
                storage.delete_study(lease_id)
            continue
        sleep(BEAT_S / 2)
