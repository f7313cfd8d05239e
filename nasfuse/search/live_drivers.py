"""Live drivers: which drivers share a study, and which of them have died.

Every driver has a study of its own in the storage, with its sign of life; removing it is what ends a driver for the
others.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from nasfuse.errors import RunFolderError
from nasfuse.search.lease import BEAT, BEAT_S, DEAD_AFTER_S, HOLDER, Holder, TakenOverError, beating
from nasfuse.search.optuna_internals import study_id_of
from nasfuse.search.patience import OUTAGES


def can_be_shared(url: str) -> bool:
    """Returns whether several drivers may write to a study in the storage at `url` at a time."""
    try:
        return make_url(url).get_backend_name() == "postgresql"
    except SQLAlchemyError:
        return False  # is refused when it is opened


def new_token() -> str:
    """Returns the token of a new driver."""
    return uuid.uuid4().hex[:16]


@dataclass(frozen=True)
class _Sign:
    """What the storage holds of one driver: its entry, who it is if that is written already, and its sign of life."""

    study_id: int
    holder: Holder | None
    beat: Any


class LiveDrivers:
    """The drivers that share a study; see `joined`.

    Attributes:
        token: Token of this driver.
        live: Tokens of all drivers that were alive when the storage was last read.
    """

    def __init__(self, storage: BaseStorage, study: str, *, token: str, clock: Callable[[], float]) -> None:
        """Writes the first sign of life of the driver `token` of `study`."""
        self._storage, self._study, self._clock = storage, study, clock
        self.token = token
        self._n_beats = 0
        self._is_lost = False
        self._seen: dict[str, tuple[Any, float]] = {}  # sign of life and when it was first seen, by token
        self.live: frozenset[str] = frozenset({token})
        self._number = storage.create_new_study([StudyDirection.MINIMIZE], self._prefix + token)
        storage.set_study_system_attr(self._number, HOLDER, vars(Holder.here()))

    @property
    def _prefix(self) -> str:
        return f"{self._study} (driver) "

    def beat(self) -> None:
        """Gives a sign of life, and removes drivers that have given none; an outage is nobody's death."""
        self._n_beats += 1
        try:
            self._storage.set_study_system_attr(self._number, BEAT, self._n_beats)
            self._look()
        except KeyError:
            self._is_lost = True
        except OUTAGES:
            self._seen.clear()

    def check(self) -> None:
        """Raises TakenOverError if other drivers have taken this one for dead."""
        if self._is_lost:
            raise TakenOverError.of(self._study)

    def has_died(self, token: str | None) -> bool:
        """Returns whether the driver with this token has ended or died; False while the storage does not answer."""
        if token is not None and token in self.live:
            return False
        try:
            self._look()  # it may have joined since
        except OUTAGES:
            return False
        return token not in self.live

    def _look(self) -> None:
        """Reads the signs of life, and removes the drivers that have died."""
        now = self._clock()
        live = {self.token}
        for token, sign in self._signs().items():
            if token == self.token:
                continue
            beat, since = self._seen.get(token, (None, None))
            if since is None or sign.beat != beat:
                beat, since = self._seen[token] = sign.beat, now
            if (sign.holder is not None and sign.holder.is_gone()) or now - since >= DEAD_AFTER_S:
                with suppress(KeyError):  # another driver was faster
                    self._storage.delete_study(sign.study_id)
            else:
                live.add(token)
        self.live = frozenset(live)

    def _signs(self) -> dict[str, _Sign]:
        found = {}
        for one in self._storage.get_all_studies():
            if one.study_name.startswith(self._prefix):
                attributes = self._storage.get_study_system_attrs(study_id_of(one))
                holder = Holder(**attributes[HOLDER]) if HOLDER in attributes else None
                token = one.study_name.removeprefix(self._prefix)
                found[token] = _Sign(study_id_of(one), holder, attributes.get(BEAT))
        return found

    def wait_for_strangers(self, *, is_near: Callable[[str], bool], sleep: Callable[[float], None]) -> None:
        """Waits until it is certain that drivers that are not near are dead.

        Args:
            is_near: Returns whether the driver with a token has the same run folder as this one.
            sleep: Waits for a number of seconds.

        Raises:
            RunFolderError: One of them gives a sign of life.
        """
        self._look()
        first = self._clock()
        while strangers := [token for token in self.live if token != self.token and not is_near(token)]:
            signs = self._signs()
            for token in strangers:
                holder = signs[token].holder if token in signs else None
                if holder is not None and (holder.is_here() or self._seen[token][1] > first):
                    raise RunFolderError(
                        f"another search of {self._study} runs on {holder.host} (process {holder.pid}) with another "
                        "run folder; give both the same -o, on a file system that both machines see, or wait for its "
                        "end"
                    )
            sleep(BEAT_S / 2)
            self._look()

    def leave(self) -> None:
        """Removes this driver; its running trials are then taken over."""
        with suppress(KeyError, *OUTAGES):
            self._storage.delete_study(self._number)


@contextmanager
def joined(
    storage: BaseStorage,
    study: str,
    *,
    token: str,
    is_near: Callable[[str], bool],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[LiveDrivers]:
    """Makes this process one of the drivers of `study` inside the block.

    Args:
        storage: Storage that the drivers share.
        study: Name of the study.
        token: Token of this driver.
        is_near: Returns whether the driver with a token has the same run folder as this one.
        clock: Returns the time in seconds since an arbitrary moment.
        sleep: Waits for a number of seconds.

    Raises:
        RunFolderError: A driver with another run folder is alive.
    """
    drivers = LiveDrivers(storage, study, token=token, clock=clock)
    try:
        drivers.wait_for_strangers(is_near=is_near, sleep=sleep)
        with beating(drivers.beat):
            yield drivers
    finally:
        drivers.leave()
