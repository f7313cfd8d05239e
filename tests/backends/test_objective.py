"""One trial in a worker, without a backend."""

import threading
from pathlib import Path

import pytest
import torch

from nasfuse.backends.objective import Task
from nasfuse.backends.outcome import Failed, Faulted, Measured
from nasfuse.domain.operating_point import Measurements
from nasfuse.errors import CheckpointError, InheritanceError, MissingFileError, NonFiniteError
from nasfuse.search.assignment import Assignment
from nasfuse.spec.recipe import Recipe

RECIPE = Recipe.parse(
    {"data": {"source": "digits"}, "network": {"route": ["left"], "streams": {"left": {"encoder": "mlp"}}}}
)
MEASURED = Measurements((), {})


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs trial 7 with an objective; returns its outcome, the reports and the reasons for lost inheritance."""
    monkeypatch.chdir(tmp_path)

    def one(objective, *, overdue_s=None, killed_s=None):
        times = {"overdue_s": overdue_s, "ends_s": 5.0, "killed_s": killed_s}
        assignment = Assignment(7, 11, RECIPE, 2, rungs=(2, 4), inherited={"left": 3}, **times)
        task = Task.of(assignment, folder_of=lambda number: Path("trials") / str(number))
        reports, lost = [], []
        outcome = task.run(
            objective,
            report=lambda *report: reports.append(report),
            report_lost_inheritance=lambda why: lost.append(why),
        )
        return outcome, reports, lost

    return one


def test_what_an_objective_gets(run, tmp_path):
    got = []

    def objective(recipe, **arguments):
        got.append((recipe, {key: value for key, value in arguments.items() if key != "report"}))
        return MEASURED

    assert run(objective) == (Measured(MEASURED), [], [])
    folder, weight_sources = tmp_path / "trials" / "7", {"left": tmp_path / "trials" / "3" / "model.pt"}
    expected = {"seed": 11, "division": 2, "folder": folder, "weight_sources": weight_sources, "rungs": (2, 4)}
    expected["ends_s"] = 5.0
    assert got == [(RECIPE, expected)]


def test_reports_at_rungs_alone_reach_the_driver(run):
    def objective(recipe, *, report, **_):
        for epoch in range(1, 6):
            report(epoch, epoch / 10)
        return MEASURED

    assert run(objective)[1] == [(2, 0.2), (4, 0.4)]


def test_an_overdue_trial_reports_every_epoch(run, monkeypatch):
    now = iter([100.0, 101.0, 102.0, 103.0, 104.0, 105.0])
    monkeypatch.setattr("nasfuse.backends.objective.time.monotonic", lambda: next(now))

    def objective(recipe, *, report, **_):
        for epoch in range(1, 6):
            report(epoch, epoch / 10)
        return MEASURED

    assert run(objective, overdue_s=3.0)[1] == [(2, 0.2), (3, 0.3), (4, 0.4), (5, 0.5)]


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_trial_that_does_not_end_is_ended_with_its_process(run, monkeypatch, goes_on):
    """Unless the driver has let it go on although it was overdue."""
    killed = threading.Event()
    monkeypatch.setattr("nasfuse.backends.objective.os.kill", lambda process, number: killed.set())

    def objective(recipe, *, report, **_):
        if goes_on:
            report(1, 0.5)
        killed.wait(0.3 if goes_on else 60)
        return MEASURED

    run(objective, overdue_s=0.0, killed_s=0.05)
    assert killed.is_set() is not goes_on


def test_a_trial_that_ends_in_time_is_not_ended(run, monkeypatch):
    killed = threading.Event()
    monkeypatch.setattr("nasfuse.backends.objective.os.kill", lambda process, number: killed.set())
    run(lambda recipe, **_: MEASURED, killed_s=0.05)
    assert not killed.wait(0.2)


def test_lost_inheritance_starts_the_trial_again_without_weight_sources(run):
    asked = []

    def objective(recipe, *, weight_sources, **_):
        asked.append(set(weight_sources))
        if weight_sources:
            raise InheritanceError("the file\nis gone")
        return MEASURED

    assert run(objective) == (Measured(MEASURED), [], ["the file is gone"])
    assert asked == [{"left"}, set()]


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device", "model.pt"),
        FileNotFoundError("gone"),
        ImportError("no module named x"),
        MissingFileError("no data set 'x'"),
        CheckpointError("resume.pt is damaged"),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
    ],
    ids=lambda error: f"{type(error).__name__} {error}"[:30],
)
def test_what_surrounds_a_training_is_no_failure_of_its_network(run, error):
    def objective(recipe, **_):
        raise error

    assert run(objective)[0] == Faulted(f"{type(error).__name__}: {error}")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        MemoryError("Unable to allocate 3 GiB for an array"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] . DefaultCPUAllocator: can't allocate memory"),
        OSError(12, "Cannot allocate memory"),
    ],
)
def test_a_lack_of_memory_is_called_so(run, error):
    def objective(recipe, **_):
        raise error

    assert run(objective)[0] == Faulted(f"out of memory: {type(error).__name__}: {error}")


@pytest.mark.parametrize(
    "error", [NonFiniteError("loss"), ValueError("x"), RuntimeError("mat1 and mat2"), KeyError("x")]
)
def test_what_a_network_does_is_a_failure(run, error):
    def objective(recipe, **_):
        raise error

    assert run(objective)[0] == Failed(f"{type(error).__name__}: {error}")


@pytest.mark.parametrize("is_later", [False, True])
def test_an_exception_is_a_failure_in_one_line(run, is_later):
    def objective(recipe, *, weight_sources, **_):
        if weight_sources and is_later:
            raise InheritanceError("lost")
        raise RuntimeError("no\nmood [/today]")

    assert run(objective)[0] == Failed("RuntimeError: no mood [/today]")


def test_the_end_of_a_stopped_thread_is_no_failure(run):
    def objective(recipe, **_):
        raise SystemExit

    with pytest.raises(SystemExit, match=r"^$"):
        run(objective)
