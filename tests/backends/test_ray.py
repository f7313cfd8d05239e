"""The Ray backend: what Ray Tune and a driver tell each other, first without Ray's processes, then with them."""

import contextlib
import gc
import json
import pickle
from functools import partial
from pathlib import Path

import pytest
from ray.tune.experiment import Trial

from nasfuse.backends import ray as module
from nasfuse.backends import ray_session
from nasfuse.backends.base import Decision, Pause
from nasfuse.backends.outcome import Died, Failed, Faulted, Measured, Stopped
from nasfuse.backends.ray_session import trials_at_a_time
from nasfuse.domain.operating_point import Measurements
from nasfuse.errors import InvalidInputError
from nasfuse.search.assignment import Assignment
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.study import ResourcesConfig
from nasfuse.testing import BackendSuite
from nasfuse.testing import backend as suite

RECIPE = Recipe.parse(
    {"data": {"source": "digits"}, "network": {"route": ["left"], "streams": {"left": {"encoder": "mlp"}}}}
)


class FakeNodes:
    """Nodes of a cluster of which none can run trials."""

    fit = ()


@pytest.mark.parametrize("address", [None, "somewhere:6379"])
def test_a_machine_that_is_too_small_for_a_trial_is_refused_and_a_cluster_may_grow(monkeypatch, address):
    monkeypatch.setattr(module, "ray_session", lambda address: contextlib.nullcontext())
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 2})
    monkeypatch.setattr(module, "checked_nodes", lambda folder, needs_cuda: contextlib.nullcontext(FakeNodes()))
    resources = ResourcesConfig(cpus_per_trial=3, gpus_per_trial=0.5)
    opening = module.open_ray(None, resources=resources, folder_of=Path, scratch=Path("x"), address=address)
    if address is not None:
        with opening as backend:
            assert backend.capacity == 0
            assert backend.can_grow
        return
    with pytest.raises(InvalidInputError, match=r"this machine has not the 3 cores and 0\.5 GPUs that one"), opening:
        pass


@pytest.mark.parametrize(
    ("gpus_per_trial", "n_gpus", "capacity"),
    [(0, 0, 16), (1, 3, 3), (2, 5, 2), (0.5, 3, 6), (0.6, 3, 3), (0.1, 1, 10), (1, 0, 0), (0.3, 2, 6)],
)
def test_a_fraction_of_a_gpu_is_taken_from_a_single_one(gpus_per_trial, n_gpus, capacity):
    resources = {"CPU": 16, "GPU": n_gpus}
    assert trials_at_a_time(resources, cpus_per_trial=1, gpus_per_trial=gpus_per_trial) == capacity


def test_a_trial_has_all_its_cores_on_one_node():
    nodes = FakeNodes()
    nodes.fit = [{"CPU": 4.0}, {"CPU": 4.0}, {"CPU": 2.0}, {"GPU": 1.0}]
    resources = ResourcesConfig(cpus_per_trial=3)
    backend = module.RayBackend(None, resources=resources, folder_of=Path, scratch=Path("x"), nodes=nodes)
    assert backend.capacity == 2, "although there are cores for three"


class Driver:
    """Hands out trial 5, stops it after its second report, and notes how it ended."""

    n_workers = 1

    def __init__(self):
        self.next = [Assignment(5, 0, RECIPE), Pause.WAIT, Pause.DONE]
        self.noted = []

    def next_trial(self):
        return self.next.pop(0)

    def on_report(self, number, *, epoch, metric):
        return Decision.STOP if epoch == 2 else Decision.CONTINUE

    def on_lost_inheritance(self, number, reason):
        self.noted.append((number, reason))

    def on_end(self, number, outcome):
        self.noted.append((number, outcome))


@pytest.fixture
def searcher():
    searcher = module._DriverSearcher(Driver(), lambda number: Path(str(number)), lambda: {}, lambda: None)
    assert pickle.loads(searcher.suggest("a")["task"]).assignment.number == 5
    return searcher


def test_pauses_of_the_driver_are_passed_to_tune(searcher):
    assert searcher.suggest("b") is None
    assert searcher.suggest("c") == module.Searcher.FINISHED


REPORT = {"epoch": 2, "metric": 0.5}
MEASURED = Measurements((), {"epochs": 3})


@pytest.mark.parametrize(
    ("reports", "result", "outcome"),
    [
        ([], {"payload": json.dumps({"measurements": MEASURED.to_plain()})}, Measured(MEASURED)),
        ([], {"payload": json.dumps({"reason": "no mood"})}, Failed("no mood")),
        ([], {"payload": json.dumps({"fault": "no disk"})}, Faulted("no disk")),
        ([REPORT], REPORT, Stopped(2, 0.5)),
        ([REPORT], None, Died()),
        ([{"epoch": 1, "metric": 0.4}], {"epoch": 1, "metric": 0.4}, Died()),
        ([], None, Died()),
    ],
    ids=["measured", "failed", "faulted", "stopped", "died while it was stopped", "died after a report", "died"],
)
def test_how_a_trial_ends(searcher, reports, result, outcome):
    for report in reports:
        decision = Decision.STOP if report["epoch"] == 2 else Decision.CONTINUE
        assert searcher.decide("a", report) is decision
    searcher.on_trial_complete("a", result)
    searcher.on_trial_complete("a", result)
    assert searcher._driver.noted == [(5, outcome)], "once"


def test_lost_inheritance(searcher):
    assert searcher.decide("a", {"lost_inheritance": "gone"}) is Decision.CONTINUE
    assert searcher._driver.noted == [(5, "gone")]


def test_an_ipv6_address_has_brackets(monkeypatch):
    called = []
    monkeypatch.setattr(ray_session.socket, "create_connection", lambda to, timeout: called.append(to) or Closed())
    for address in ("[::1]:6379", "ray://[fe80::1]:10001", "head:6379"):
        ray_session._answers(address)
    assert called == [("::1", 6379), ("fe80::1", 10001), ("head", 6379)]


class Closed:
    """A connection that can be closed."""

    def close(self):
        """Does nothing."""


@pytest.mark.slow
@pytest.mark.timeout(900)
class TestRay(BackendSuite):
    """On one session of Ray, which all tests of the suite share."""

    @pytest.fixture(scope="class")
    def open_backend(self):
        return module.open_ray


KINDS = [suite.MEASURED, suite.KILLED, suite.LAST, *[suite.MEASURED] * 7]


class CountingDriver(suite.RecordingDriver):
    """Notes how many trials of Tune there are whenever one has ended."""

    def on_end(self, number, outcome):
        """Notes their number."""
        super().on_end(number, outcome)
        self.counts.append(sum(type(one) is Trial for one in gc.get_objects()))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_tune_keeps_no_trials_that_have_ended(tmp_path):
    objective = partial(suite.run_trial, die=suite.kill_process)
    opening = module.open_ray(
        objective, resources=ResourcesConfig(), folder_of=lambda number: tmp_path / str(number), scratch=tmp_path / "s"
    )
    with opening as backend:
        # One kind of trial ends with its worker, one after reports, one at once.
        driver = CountingDriver(1, [Assignment(number, kind, RECIPE) for number, kind in enumerate(KINDS)])
        driver.counts = []
        backend.run(driver)
    assert [*driver.outcomes] == [*range(len(KINDS))]
    assert max(driver.counts) <= 4, driver.counts
