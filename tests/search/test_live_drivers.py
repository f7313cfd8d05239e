"""Drivers that share a study know which others are alive."""

import subprocess
import sys

import pytest
from optuna.exceptions import StorageInternalError
from optuna.storages import InMemoryStorage

from nasfuse.errors import RunFolderError
from nasfuse.search.lease import BEAT_S, DEAD_AFTER_S, HOLDER
from nasfuse.search.live_drivers import LiveDrivers, can_be_shared, joined


class Clock:
    """Goes on while somebody sleeps, and calls `on_sleep` then."""

    def __init__(self, on_sleep=lambda: None):
        self.now, self.on_sleep = 0.0, on_sleep

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        self.on_sleep()


@pytest.fixture
def storage():
    return InMemoryStorage()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def join(storage, clock):
    return lambda token, storage=storage: LiveDrivers(storage, "x", token=token, clock=clock)


def pretend(storage, token, **changes):
    """Lets a driver look as if it ran in another process, or on another machine."""
    number = storage.get_study_id_from_name(f"x (driver) {token}")
    holder = storage.get_study_system_attrs(number)[HOLDER]
    storage.set_study_system_attr(number, HOLDER, {**holder, **changes})


def test_drivers_that_give_signs_of_life_are_alive(join, clock):
    first, second = join("a"), join("b")
    for _ in range(20):
        clock.now += BEAT_S
        first.beat()
        second.beat()
    assert not first.has_died("b")
    assert not second.has_died("a")
    assert first.live == second.live == {"a", "b"}
    first.check()


def test_one_that_gives_none_for_a_minute_is_dead_and_learns_of_it(join, clock):
    first, second = join("a"), join("b")
    second.beat()
    first.beat()
    while clock.now < DEAD_AFTER_S:
        assert not first.has_died("b")
        clock.now += BEAT_S
        first.beat()
    assert first.has_died("b")
    second.check()
    second.beat()
    with pytest.raises(RunFolderError, match="another search has taken study x over, as this one gave no sign of life"):
        second.check()
    first.check()


def test_one_that_joins_is_known_before_its_first_trial(join):
    first = join("a")
    first.beat()
    join("b")
    assert not first.has_died("b")
    assert first.has_died("c")
    assert first.has_died(None), "a trial of a driver of an earlier version"


def test_one_that_leaves_is_gone_at_once(join):
    first, second = join("a"), join("b")
    second.leave()
    first.beat()
    assert first.has_died("b")


def test_one_whose_process_is_gone_is_dead_at_once(join, storage):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    first = join("a")
    join("b")
    pretend(storage, "b", pid=gone.pid)
    first.beat()
    assert first.has_died("b")


def test_an_outage_is_nobodys_death(storage, clock, join):
    class Away:
        is_away = False

        def __getattr__(self, name):
            def call(*arguments):
                if self.is_away:
                    raise StorageInternalError("the server is away")
                return getattr(storage, name)(*arguments)

            return call

    away = Away()
    first, second = join("a", away), join("b")
    first.beat()
    away.is_away = True
    clock.now += 10 * DEAD_AFTER_S
    first.beat()
    assert not first.has_died("b")
    assert not first.has_died("unknown")
    away.is_away = False
    first.beat()
    second.beat()
    first.beat()
    assert first.live == {"a", "b"}


def test_one_with_another_run_folder_on_this_machine_is_refused(join, storage, clock):
    join("a")
    with (
        pytest.raises(RunFolderError, match=r"another search of x runs on .* with another run folder; give both"),
        joined(storage, "x", token="b", is_near=lambda _: False, clock=clock, sleep=clock.sleep),
    ):
        pass
    assert [one.study_name for one in storage.get_all_studies()] == ["x (driver) a"]


def test_one_elsewhere_is_refused_when_the_other_gives_a_sign_of_life(join, storage):
    clock = Clock()
    other = join("a")
    pretend(storage, "a", host="elsewhere", pid=7)
    clock.on_sleep = other.beat
    with (
        pytest.raises(RunFolderError, match=r"another search of x runs on elsewhere \(process 7\)"),
        joined(storage, "x", token="b", is_near=lambda _: False, clock=clock, sleep=clock.sleep),
    ):
        pass
    assert clock.now <= BEAT_S


def test_one_elsewhere_waits_until_the_other_is_certainly_dead(join, storage):
    clock = Clock()
    join("a")
    pretend(storage, "a", host="elsewhere", pid=7)
    with joined(storage, "x", token="b", is_near=lambda _: False, clock=clock, sleep=clock.sleep) as drivers:
        assert clock.now >= DEAD_AFTER_S
        assert drivers.live == {"b"}
    assert storage.get_all_studies() == []


def test_those_with_the_same_folder_join_at_once(join, storage, clock):
    join("a")
    with joined(storage, "x", token="b", is_near="a".__eq__, clock=clock, sleep=clock.sleep) as drivers:
        assert drivers.live == {"a", "b"}
        assert clock.now == 0


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://me@host/studies", True),
        ("postgresql+psycopg://me@host/studies", True),
        ("mysql+pymysql://me@host/studies", False),
        ("sqlite:////runs/study.db", False),
    ],
)
def test_which_storages_can_be_shared(url, expected):
    assert can_be_shared(url) is expected
