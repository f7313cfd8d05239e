"""The simulated backend, with a driver that hands out what it is told to and notes every call."""

from contextlib import nullcontext
from dataclasses import replace

import pytest

from nasfuse.backends.base import Decision, Pause
from nasfuse.backends.objective import Task
from nasfuse.backends.outcome import Died, Failed, Stopped
from nasfuse.backends.simulated import SimulatedBackend, SimulatedTraining
from nasfuse.search.assignment import Assignment
from nasfuse.spec.recipe import Recipe
from nasfuse.testing import BackendSuite
from nasfuse.testing.backend import N_EPOCHS

RECIPE = Recipe.parse(
    {"data": {"source": "digits"}, "network": {"route": ["left"], "streams": {"left": {"encoder": "mlp"}}}}
)
LOST = Failed("no result")


class Script:
    """Hands out trials 0 to `n_trials` - 1, stops what `stops` names, and again hands out what died."""

    def __init__(self, n_trials, *, n_workers=1, rungs=(), stops=()):
        self.n_workers = n_workers
        self.waiting = [Assignment(number, number, RECIPE, rungs=tuple(rungs)) for number in range(n_trials)]
        self.running = {}
        self.stops = stops
        self.calls = []

    def next_trial(self):
        if not self.waiting or len(self.running) >= self.n_workers:
            return Pause.WAIT if self.running else Pause.DONE
        assignment = self.waiting.pop(0)
        self.running[assignment.number] = assignment
        self.calls.append((self.backend.now, "start", assignment.number))
        return assignment

    def on_report(self, number, *, epoch, metric):
        self.calls.append((self.backend.now, "report", number, epoch, metric))
        return Decision.STOP if (number, epoch) in self.stops else Decision.CONTINUE

    def on_lost_inheritance(self, number, reason):
        self.calls.append((self.backend.now, "lost inheritance", number, reason))

    def on_end(self, number, outcome):
        self.calls.append((self.backend.now, "end", number, outcome))
        assignment = self.running.pop(number)
        if isinstance(outcome, Died):
            self.waiting.insert(0, assignment)


def calls_of(driver, train):
    driver.backend = SimulatedBackend(train)
    driver.backend.run(driver)
    return driver.calls


def test_a_trial_reports_at_its_rungs_and_ends_after_its_last_epoch():
    calls = calls_of(Script(1, rungs=(3, 1)), lambda _: SimulatedTraining([0.1, 0.2, 0.3, 0.4], LOST, epoch_s=2.0))
    assert calls == [(0, "start", 0), (2, "report", 0, 1, 0.1), (6, "report", 0, 3, 0.3), (8, "end", 0, LOST)]


def test_a_trial_that_is_stopped_frees_its_worker_at_once():
    calls = calls_of(Script(2, rungs=(1,), stops={(0, 1)}), lambda _: SimulatedTraining([0.1, 0.2], LOST))
    assert calls[1:4] == [(1, "report", 0, 1, 0.1), (1, "end", 0, Stopped(1, 0.1)), (1, "start", 1)]
    assert calls[-1] == (3, "end", 1, LOST)


def test_events_of_one_time_come_by_number_before_anything_new_starts():
    calls = calls_of(
        Script(5, n_workers=3), lambda a: SimulatedTraining([0.1] * (6 // (a.number + 1)), LOST, epoch_s=a.number + 1.0)
    )
    order = [(time, what, number) for time, what, number, *_ in calls]
    assert order[:8] == [
        *((0, "start", number) for number in (0, 1, 2)),
        *((6, "end", number) for number in (0, 1, 2)),
        *((6, "start", number) for number in (3, 4)),
    ]


def test_a_worker_that_dies_gets_the_trial_again():
    lives = iter([SimulatedTraining([0.1], Died()), SimulatedTraining([0.1, 0.2], LOST)])
    calls = calls_of(Script(1, rungs=(1,)), lambda _: next(lives))
    assert calls == [
        (0, "start", 0),
        (1, "report", 0, 1, 0.1),
        (1, "end", 0, Died()),
        (1, "start", 0),
        (2, "report", 0, 1, 0.1),
        (3, "end", 0, LOST),
    ]


def test_a_rung_behind_the_end_is_not_reported():
    calls = calls_of(Script(1, rungs=(1, 5)), lambda _: SimulatedTraining([0.1, 0.2], LOST))
    assert [what for _, what, *_ in calls] == ["start", "report", "end"]


def test_inheritance_is_lost_at_the_start():
    calls = calls_of(Script(1), lambda _: SimulatedTraining([], LOST, lost_inheritance="another shape"))
    assert calls == [(0, "start", 0), (0, "lost inheritance", 0, "another shape"), (1, "end", 0, LOST)]


def test_a_driver_that_waits_for_nothing_is_a_bug():
    driver = Script(1)
    driver.next_trial = lambda: Pause.WAIT
    with pytest.raises(AssertionError, match="the driver waits for a trial, but none runs"):
        calls_of(driver, None)


class WorkerDiedError(BaseException):
    """Stands for the death of a worker where trials run in the process of the tests."""


def raise_death():
    raise WorkerDiedError


def open_simulated(objective, *, resources, folder_of, scratch):
    """A simulated backend whose trainings are what the objective does when it is called in this process."""

    def train(assignment):
        curve, lost = [], []

        def objective_at_its_rungs(recipe, **options):
            return objective(recipe, **{**options, "rungs": assignment.rungs})

        task = Task.of(replace(assignment, rungs=tuple(range(1, N_EPOCHS + 1))), folder_of=folder_of)
        try:
            outcome = task.run(
                objective_at_its_rungs,
                report=lambda epoch, metric: curve.append(metric),
                report_lost_inheritance=lost.append,
            )
        except WorkerDiedError:
            outcome = Died()
        return SimulatedTraining(curve, outcome, lost_inheritance=next(iter(lost), None))

    return nullcontext(SimulatedBackend(train, capacity=2))


class TestSimulated(BackendSuite):
    @pytest.fixture(scope="class")
    def open_backend(self):
        return open_simulated

    @pytest.fixture(scope="class")
    def die(self):
        return raise_death
