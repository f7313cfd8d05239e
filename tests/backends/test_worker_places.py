"""Places for workers, with the cache of idle workers that Tune has."""

from types import SimpleNamespace

import pytest
from ray.tune.utils.object_cache import _ObjectCache

from nasfuse.backends import worker_places
from nasfuse.backends.worker_places import KeptWorkers, Place, PlaceNumbers

BUNDLE = {"CPU": 1, "GPU": 0}


def place(number, **selector):
    return Place(BUNDLE, number=number, selector=selector)


def test_a_worker_runs_trials_of_its_place():
    assert place(1) == place(1)
    assert hash(place(1)) == hash(place(1))
    assert place(1) != place(2)
    assert place(1) != place(1, node="!in(7)")
    assert place(1) != Place({"CPU": 2, "GPU": 0}, number=1, selector={})
    assert place(1).required_resources == {"CPU": 1}


def test_a_place_with_an_idle_worker_is_taken_first_and_no_more_are_made_than_trials_run():
    numbers = PlaceNumbers()
    assert [numbers.take(trial) for trial in "abcd"] == [0, 1, 2, 3]
    numbers.leave("b", has_worker=True)
    numbers.leave("d", has_worker=True)
    numbers.leave("a", has_worker=False)
    assert [numbers.take(trial) for trial in "efgh"] == [3, 1, 0, 4]


class TestKeptWorkers:
    @pytest.fixture
    def controller(self):
        return SimpleNamespace(_actor_cache=_ObjectCache(may_keep_one=True))

    def become_idle(self, controller, *places):
        """Returns which workers Tune keeps when trials end at these places."""
        cache = controller._actor_cache
        kept = [cache.cache_object(place, f"worker {number}") for number, place in enumerate(places)]
        ended = [*cache.flush_cached_objects()]
        return [
            f"worker {number}" for number, is_kept in enumerate(kept) if is_kept and f"worker {number}" not in ended
        ]

    def test_tune_alone_keeps_one(self, controller):
        assert self.become_idle(controller, place(0), place(1), place(2)) == ["worker 0"]

    def test_all_are_kept(self, controller):
        kept, places = KeptWorkers(), [place(number) for number in range(3)]
        for one in (*places, place(1), place(0)):
            kept.keep(one, controller)
        kept.release_if_idle(controller)
        assert self.become_idle(controller, *places) == ["worker 0", "worker 1", "worker 2"]

    def test_idle_ones_end_after_a_while(self, controller, monkeypatch):
        kept, places = KeptWorkers(), [place(number) for number in range(3)]
        for one in places:
            kept.keep(one, controller)
        assert len(self.become_idle(controller, *places)) == 3
        monkeypatch.setattr(worker_places, "_KEPT_S", -1.0)
        kept.release_if_idle(controller)
        assert len([*controller._actor_cache.flush_cached_objects()]) == 2, "Tune keeps one"
        assert controller._actor_cache.total_max_objects == 0

    def test_those_on_nodes_that_are_left_out_end_at_once(self, controller):
        kept, places = KeptWorkers(), [place(number) for number in range(3)]
        for one in places:
            kept.keep(one, controller)
        self.become_idle(controller, *places)
        kept.keep(place(0, node="!in(7)"), controller)
        assert len([*controller._actor_cache.flush_cached_objects()]) == 3, "they would hold the cores of the next"
        assert controller._actor_cache.total_max_objects == 1
