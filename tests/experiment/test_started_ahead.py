"""When workers start before PyTorch is loaded."""

import contextlib

import pytest

from nasfuse.backends import workers_ahead
from nasfuse.errors import RunFolderError
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.experiment.started_ahead import started_ahead
from nasfuse.spec.study import StudyConfig
from tests.tiny_study import TINY

STUDY = StudyConfig.of({**TINY, "budget": {"trials": 1}})


@pytest.fixture
def started(monkeypatch):
    """The modules that workers were started with."""
    found = []

    def start(study, *, modules):
        found.extend(modules)
        return contextlib.nullcontext("workers")

    monkeypatch.setattr(workers_ahead, "workers_ahead", start)
    return found


def test_for_a_new_search_on_this_machine(started, tmp_path):
    with started_ahead(STUDY, RunFolder(tmp_path / "run"), address=None) as ahead:
        assert ahead == "workers"
    assert "nasfuse.experiment.objective" in started
    assert not (tmp_path / "run").exists()


def test_not_on_a_cluster(started, tmp_path):
    with started_ahead(STUDY, RunFolder(tmp_path / "run"), address="head:6379") as ahead:
        assert ahead is None
    assert not started


def test_not_for_a_search_that_is_continued(started, make_run, tmp_path):
    with started_ahead(STUDY, make_run(tmp_path / "run", [(0.5, 100)]), address=None) as ahead:
        assert ahead is None
    assert not started


def test_not_in_a_folder_that_cannot_be_written(started, tmp_path):
    (tmp_path / "run").touch()
    with pytest.raises(RunFolderError), started_ahead(STUDY, RunFolder(tmp_path / "run"), address=None):
        pass
    assert not started
