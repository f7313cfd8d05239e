"""`nasfuse doctor`."""

import contextlib

import pytest

from nasfuse.backends import ray_session


@pytest.fixture
def without_ray(monkeypatch):
    monkeypatch.setattr(ray_session, "ray_session", lambda address: contextlib.nullcontext())
    monkeypatch.setattr(ray_session, "n_cores", lambda: 2)


def test_json(nasfuse, without_ray):
    ran = nasfuse("doctor", "--json")
    assert ran.code == 0
    checks = {check["check"]: check for check in ran.json}
    assert {"python", "torch", "optuna", "ray", "cores", "gpu", "ray session", "data folder"} <= set(checks)
    assert all(set(check) == {"check", "value", "ok"} for check in checks.values())
    assert checks["data folder"]["value"].endswith(
        "no-data (from NASFUSE_DATA; absent, only needed for your own files)"
    )


def test_the_data_folder_without_the_variable(nasfuse, without_ray, monkeypatch, tmp_path):
    monkeypatch.delenv("NASFUSE_DATA")
    monkeypatch.setattr("nasfuse.data.sources.registry.user_cache_path", lambda *_, **__: tmp_path)
    checks = {check["check"]: check["value"] for check in nasfuse("doctor", "--json").json}
    absent = f"{tmp_path / 'data'} (the default; set NASFUSE_DATA to change it; absent, only needed for your own files)"
    assert checks["data folder"] == absent
    (tmp_path / "data").mkdir()
    checks = {check["check"]: check["value"] for check in nasfuse("doctor", "--json").json}
    assert checks["data folder"] == f"{tmp_path / 'data'} (the default; set NASFUSE_DATA to change it)"


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
