"""Ray's own functions are replaced only while it starts, and only in the version that is known."""

import pytest
from ray._private import node, parameter, services
from ray.tune.execution import tune_controller

from nasfuse.backends.ray_processes import few_processes, inherited_environment, ray


def replaceable():
    return parameter.RayParams, node.Node.start_api_server, services.start_ray_process, tune_controller._ActorClassCache


@pytest.mark.parametrize("version", ["2.60.0", "2.60.3"])
def test_the_functions_are_back_afterwards(version, monkeypatch):
    monkeypatch.setattr(ray, "__version__", version)
    before = replaceable()
    with few_processes(), inherited_environment():
        assert all(now is not own for now, own in zip(replaceable(), before, strict=True))
    assert replaceable() == before


def test_other_versions_start_as_they_do_by_themselves(monkeypatch):
    monkeypatch.setattr(ray, "__version__", "2.61.0")
    before = replaceable()
    with few_processes(), inherited_environment():
        assert replaceable() == before
