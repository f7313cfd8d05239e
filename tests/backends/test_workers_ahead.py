"""Workers that start before there is a trial for them."""

import contextlib
import os
import re
from pathlib import Path

import pytest
from ray.tune.execution import tune_controller
from ray.tune.trainable import Trainable

from nasfuse.backends import workers_ahead as module
from nasfuse.backends.ray import open_ray
from nasfuse.spec.study import StudyConfig
from nasfuse.testing import BackendSuite

STUDY = {
    "name": "x",
    "space": "full",
    "data": {"source": "digits"},
    "budget": {"trials": 4},
    "resources": {"workers": 2},
}


def study(**changes):
    return StudyConfig.of({**STUDY, **changes})


def test_all_that_tune_calls_is_passed_on():
    source = Path(tune_controller.__file__).read_text()
    called = set(re.findall(r'method_name="(\w+)"', source))
    assert called
    assert called <= set(module._METHODS)
    assert all(callable(getattr(Trainable, name)) for name in module._METHODS)


@pytest.mark.parametrize(("known", "gpus"), [(False, 0), (True, 1)])
def test_none_for_gpus_and_with_other_versions_of_ray(monkeypatch, known, gpus):
    monkeypatch.setattr(module, "is_known_ray", lambda: known)
    monkeypatch.setattr(module, "ray_session", None)
    with module.workers_ahead(study(resources={"gpus_per_trial": gpus}), modules=[]) as ahead:
        assert ahead is None


@pytest.mark.parametrize(
    ("changes", "count"),
    [({}, 2), ({"budget": {"trials": 1}}, 1), ({"resources": {}, "budget": {"minutes": 1}}, 3)],
)
def test_as_many_as_the_search_will_use(monkeypatch, changes, count):
    monkeypatch.setattr(module, "ray_session", lambda address: contextlib.nullcontext())
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 3})
    monkeypatch.setattr(module, "WorkersAhead", lambda count, **options: (count, options["modules"]))
    with module.workers_ahead(study(**changes), modules=["torch"]) as ahead:
        assert ahead == (count, ["torch"])


@contextlib.contextmanager
def open_ahead(objective, **options):
    with (
        module.workers_ahead(study(), modules=["nasfuse.testing.backend"]) as ahead,
        open_ray(objective, **options, ahead=ahead) as backend,
    ):
        if os.cpu_count() >= 2:
            assert len(ahead._waiting) == 2
        yield backend
        assert not ahead._waiting, "the first trials have run in them"


@pytest.mark.slow
@pytest.mark.timeout(900)
class TestAhead(BackendSuite):
    """With workers that have started before, one of which is killed in its trial."""

    @pytest.fixture(scope="class")
    def open_backend(self):
        return open_ahead
