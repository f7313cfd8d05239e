"""One driver of a study at a time in a storage that several share; the study of a dead one is taken over."""

import os
import socket
import subprocess
import sys
import threading
from itertools import count

import pytest
from optuna.storages import InMemoryStorage

from nasfuse.errors import RunFolderError
from nasfuse.search.lease import BEAT_S, DEAD_AFTER_S, lease_name, leased
from nasfuse.search.storage import open_storage, sqlite_url


class Clock:
    """Goes on while somebody sleeps; `on_sleep` is called with the number of the sleep."""

    def __init__(self, on_sleep=lambda number: None):
        self.now, self.on_sleep, self.number = 0.0, on_sleep, count()

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        self.on_sleep(next(self.number))


def hold(storage, clock, notes):
    return leased(storage, "x", note=notes.append, clock=clock, sleep=clock.sleep)


def names(storage):
    return [study.study_name for study in storage.get_all_studies()]


@pytest.fixture
def elsewhere(monkeypatch):
    """Lets leases look as if they were of another machine."""

    def pretend():
        monkeypatch.setattr("nasfuse.search.lease.socket.gethostname", lambda: "elsewhere")

    return pretend


def test_a_lease_is_there_while_it_is_held_and_gone_after():
    storage, notes = InMemoryStorage(), []
    with hold(storage, Clock(), notes) as lease:
        assert names(storage) == [lease_name("x")]
        lease.check()
    assert names(storage) == notes == []


def test_a_second_driver_waits_for_the_first():
    storage, notes = InMemoryStorage(), []
    first = hold(storage, Clock(), [])
    held = first.__enter__()

    def go_on(number):
        held.beat()
        if number == 100:
            first.__exit__(None, None, None)

    clock = Clock(go_on)
    with hold(storage, clock, notes) as second:
        second.check()
        assert clock.now == 101 * BEAT_S / 2 > DEAD_AFTER_S
    assert notes == [f"waiting for another search of x, on {socket.gethostname()} (process {os.getpid()}), to end"]


def test_a_driver_that_gives_no_sign_of_life_is_dead_and_learns_of_it(elsewhere):
    storage, notes = InMemoryStorage(), []
    first = hold(storage, Clock(), [])
    dead = first.__enter__()
    elsewhere()
    clock = Clock()
    with hold(storage, clock, notes) as second:
        assert DEAD_AFTER_S <= clock.now <= DEAD_AFTER_S + BEAT_S
        assert notes[-1] == "taking x over from a search that has died"
        dead.beat()
        with pytest.raises(RunFolderError, match="another search has taken study x over"):
            dead.check()
        first.__exit__(None, None, None)
        assert names(storage) == [lease_name("x")], "a dead driver does not release the lease of another"
        second.beat()
        second.check()


def test_a_driver_learns_from_a_database_that_it_was_taken_over(tmp_path):
    url = sqlite_url(tmp_path / "s.db")
    with hold(open_storage(url), Clock(), []) as lease:
        lease.beat()
        lease.check()
        open_storage(url).delete_study(lease.number)
        lease.beat()
        with pytest.raises(RunFolderError, match="another search has taken study x over"):
            lease.check()


def test_a_process_of_this_machine_that_is_gone_is_taken_over_at_once(tmp_path):
    url = sqlite_url(tmp_path / "s.db")
    code = (
        "import os; from nasfuse.search.lease import leased; from nasfuse.search.storage import open_storage\n"
        f"held = leased(open_storage({url!r}), 'x', note=print); held.__enter__(); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    storage, notes, clock = open_storage(url), [], Clock()
    assert names(storage) == [lease_name("x")]
    with hold(storage, clock, notes):
        assert clock.now == 0
    assert notes == ["taking x over from a search that has died"]


def test_of_many_that_ask_at_once_one_holds_it_at_a_time(tmp_path):
    storage, inside, most = open_storage(sqlite_url(tmp_path / "s.db")), [], []
    busy = threading.Event()

    def ask():
        with leased(storage, "x", note=lambda text: None, sleep=lambda seconds: busy.wait(0.02)):
            inside.append(1)
            most.append(len(inside))
            busy.wait(0.05)
            inside.pop()

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 5
    assert names(storage) == []
