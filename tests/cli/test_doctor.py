"""`nasfuse doctor`."""

import contextlib

import pytest

from nasfuse.backends import ray_session


@pytest.fixture
def without_ray(monkeypatch):
    monkeypatch.setattr(ray_session, "ray_session", lambda address: contextlib.nullcontext())
    monkeypatch.setattr(ray_session, "cluster_workers", lambda cpus, gpus: 2)


def test_json(nasfuse, without_ray):
    ran = nasfuse("doctor", "--json")
    assert ran.code == 0
    checks = {check["check"]: check for check in ran.json}
    assert {"python", "torch", "optuna", "ray", "cores", "gpu", "ray session", "data folder"} <= set(checks)
    assert all(set(check) == {"check", "value", "ok"} for check in checks.values())
    assert "(absent; only needed for your own files)" in checks["data folder"]["value"]


def test_text(nasfuse, without_ray):
    assert "ok  ray session" in nasfuse("doctor").out


def test_ray_that_does_not_start(nasfuse, monkeypatch):
    @contextlib.contextmanager
    def broken(address):
        raise RuntimeError("no port [/free]")
        yield

    monkeypatch.setattr(ray_session, "ray_session", broken)
    ran = nasfuse("doctor")
    assert ran.code != 0
    assert "Ray does not start on this machine: no port [/free]" in ran.sentence


@pytest.mark.slow
def test_with_ray(nasfuse):
    ran = nasfuse("doctor", "--json")
    assert ran.code == 0
    assert next(check for check in ran.json if check["check"] == "ray session")["value"].startswith("starts; ")
