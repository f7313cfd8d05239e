"""The conformance suite of backends, which run the trials of a driver."""

import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from nasfuse.backends.base import Decision, OpenBackend, Pause
from nasfuse.backends.objective import Report
from nasfuse.backends.outcome import Died, Failed, Measured, Outcome, Stopped
from nasfuse.domain.operating_point import Measurements, OperatingPoint
from nasfuse.errors import InheritanceError
from nasfuse.search.assignment import Assignment
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.study import ResourcesConfig

#: Epochs of a training of the suite.
N_EPOCHS = 4

#: Numbers of the trials, by what happens to them.
MEASURED, STOPPED, FAILED, KILLED, LOST_INHERITANCE, LAST = range(6)

#: Epoch after which the driver stops the trial `STOPPED`.
STOP_AFTER = 2

_RUNGS = {MEASURED: (1, 3), STOPPED: (1, 2, 3), LOST_INHERITANCE: (2,)}

_INHERITED = {MEASURED: {"left": 7}, LOST_INHERITANCE: {"left": 8}}

_RECIPE = Recipe.parse(
    {"data": {"source": "digits"}, "network": {"route": ["left"], "streams": {"left": {"encoder": "mlp"}}}}
)

#: What every trial of the suite measures.
POINT = OperatingPoint(metric=0.5, macs=10, params=5, latency_s=1e-3, latency_iqr_s=1e-4, peak_bytes=64)


def kill_process() -> None:
    """Kills the calling process, as the operating system does when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def metric_of(number: int, epoch: int) -> float:
    """Returns the metric that trial `number` reports after `epoch`."""
    return number + epoch / 100


def run_trial(
    recipe: Recipe,
    *,
    seed: int,
    division: int,
    folder: Path,
    report: Report,
    weight_sources: Mapping[str, Path],
    rungs: Sequence[int],
    ends_s: float | None,
    die: Callable[[], None],
) -> Measurements:
    """Returns measurements without a training; the seed, which is the number of the trial, decides what else happens.

    Args:
        recipe: Recipe of the trial.
        seed: Number of the trial.
        division: Number of the division into train and val.
        folder: Folder of the trial.
        report: Called after each epoch.
        weight_sources: Checkpoints of the inherited weights.
        rungs: Epochs at which the trial may be stopped, as the backend passes them on.
        ends_s: Seconds after which it is to end, as the backend passes them on.
        die: Ends the first run of the trial `KILLED`.

    Raises:
        ValueError: The trial is `FAILED`.
        InheritanceError: The trial is `LOST_INHERITANCE` and inherits weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if seed == FAILED:
        raise ValueError("a message\nof two lines")
    if seed == LOST_INHERITANCE and weight_sources:
        raise InheritanceError("stream left: no such file")
    for epoch in range(1, N_EPOCHS + 1):
        report(epoch, metric_of(seed, epoch))
    died_before = folder / "died"
    if seed == KILLED and not died_before.exists():
        died_before.touch()
        die()
    files = {stream: str(file) for stream, file in weight_sources.items()}
    record = {"recipe": recipe.hash, "seed": seed, "division": division, "folder": str(folder), "weight_sources": files}
    record |= {"rungs": list(rungs), "ends_s": ends_s}
    return Measurements((POINT,), record)


@dataclass
class RecordingDriver:
    """Hands out six trials, those that died once more, and records every call.

    Attributes:
        n_workers: Trials that run at a time, at most.
        waiting: Trials to hand out.
        running: Numbers of the trials that were handed out and have not ended.
        most_running: Largest number of trials that ran at a time.
        threads: Identifiers of the threads that called the driver.
        reports: Number of a trial to the (epoch, metric) of its reports.
        lost_inheritance: Number of a trial to the reason why it lost its weight sources, and the number of reports
            by then.
        outcomes: Number of a trial to how it ended, each time that it ended.
        is_done: Whether the driver has said that the search is over.
    """

    n_workers: int
    waiting: list[Assignment]
    running: dict[int, Assignment] = field(default_factory=dict)
    most_running: int = 0
    threads: set[int] = field(default_factory=set)
    reports: dict[int, list[tuple[int, float]]] = field(default_factory=dict)
    lost_inheritance: dict[int, list[tuple[str, int]]] = field(default_factory=dict)
    outcomes: dict[int, list[Outcome]] = field(default_factory=dict)
    is_done: bool = False

    def next_trial(self) -> Assignment | Pause:
        """Returns the next trial while workers are free; `DONE` when no trial is left and none runs."""
        self.threads.add(threading.get_ident())
        if not self.waiting or len(self.running) >= self.n_workers:
            self.is_done = not self.running
            return Pause.WAIT if self.running else Pause.DONE
        assignment = self.waiting.pop(0)
        self.running[assignment.number] = assignment
        self.most_running = max(self.most_running, len(self.running))
        return assignment

    def on_report(self, number: int, *, epoch: int, metric: float) -> Decision:
        """Stops the trial `STOPPED` after `STOP_AFTER` epochs."""
        self.threads.add(threading.get_ident())
        assert number in self.running, f"trial {number} reports, but does not run"
        self.reports.setdefault(number, []).append((epoch, metric))
        return Decision.STOP if (number, epoch) == (STOPPED, STOP_AFTER) else Decision.CONTINUE

    def on_lost_inheritance(self, number: int, reason: str) -> None:
        """Records the reason."""
        self.threads.add(threading.get_ident())
        self.lost_inheritance.setdefault(number, []).append((reason, len(self.reports.get(number, []))))

    def note(self, text: str) -> None:
        """Shows nothing."""

    def on_end(self, number: int, outcome: Outcome) -> None:
        """Records the outcome; a trial that died is handed out again as the next one."""
        self.threads.add(threading.get_ident())
        assert number in self.running, f"trial {number} ends, but does not run"
        assignment = self.running.pop(number)
        self.outcomes.setdefault(number, []).append(outcome)
        if isinstance(outcome, Died):
            self.waiting.insert(0, assignment)


@dataclass(frozen=True)
class Search:
    """A search that has ended.

    Attributes:
        driver: What the backend told the driver.
        capacity: Trials that fit on the backend at a time.
        folder: Folder of the folders of the trials.
        second: Driver of a further search on the same backend that had no trial to run.
    """

    driver: RecordingDriver
    capacity: int
    folder: Path
    second: RecordingDriver

    def measurements(self, number: int) -> Measurements:
        """Returns the measurements of a trial that has some."""
        (*_, outcome) = self.driver.outcomes[number]
        assert isinstance(outcome, Measured), outcome
        return outcome.measurements


class BackendSuite:
    """What holds for every backend.

    Every trial ends once with the outcome that belongs to it, measured, stopped, failed or died; its objective is
    called with the arguments of the assignment; reports come in order and at rungs only; the driver is called from one
    thread. One search of six trials, which all tests share, shows it, so a backend that takes long to start is started
    once.

    Example:
        A module of tests for a backend of another package::

            class TestSlurm(BackendSuite):
                @pytest.fixture(scope="class")
                def open_backend(self):
                    return open_slurm
    """

    @pytest.fixture(scope="class")
    def open_backend(self) -> OpenBackend:
        """Override: the function that starts the backend."""
        raise NotImplementedError("override the fixture open_backend of BackendSuite")

    @pytest.fixture(scope="class")
    def die(self) -> Callable[[], None]:
        """Override if trials run in the process of the tests: ends a trial without a result. Pickled with the trial."""
        return kill_process

    @pytest.fixture(scope="class")
    def search(
        self, open_backend: OpenBackend, die: Callable[[], None], tmp_path_factory: pytest.TempPathFactory
    ) -> Search:
        """The search that all tests look at."""
        folder = tmp_path_factory.mktemp("backend")
        opening = open_backend(
            partial(run_trial, die=die),
            resources=ResourcesConfig(),
            folder_of=lambda number: folder / "trials" / str(number),
            scratch=folder / "scratch",
        )
        with opening as backend:
            capacity = backend.capacity
            driver = RecordingDriver(min(max(capacity, 1), 2), [_assignment(number) for number in range(LAST + 1)])
            backend.run(driver)
            second = RecordingDriver(1, [])
            backend.run(second)
        return Search(driver, capacity, folder / "trials", second)

    def test_every_trial_runs_until_the_driver_is_done(self, search: Search) -> None:
        assert search.driver.is_done
        assert sorted(search.driver.outcomes) == list(range(LAST + 1))
        assert search.driver.running == {}

    def test_search_without_trials_ends(self, search: Search) -> None:
        assert search.second.is_done
        assert search.second.outcomes == {}

    def test_all_workers_are_used(self, search: Search) -> None:
        assert search.capacity >= 0
        assert search.driver.most_running == search.driver.n_workers

    def test_driver_is_called_from_one_thread(self, search: Search) -> None:
        assert len(search.driver.threads) == 1

    def test_objective_is_called_with_the_values_of_the_assignment(self, search: Search) -> None:
        for number in (MEASURED, LAST):
            record, assignment = search.measurements(number).record, _assignment(number)
            assert record["recipe"] == assignment.recipe.hash
            assert (record["seed"], record["division"]) == (assignment.seed, assignment.division)
            assert (tuple(record["rungs"]), record["ends_s"]) == (assignment.rungs, assignment.ends_s)
            assert Path(record["folder"]) == search.folder / str(number)
        assert search.measurements(MEASURED).record["weight_sources"] == {"left": str(search.folder / "7" / "model.pt")}
        assert search.measurements(LAST).record["weight_sources"] == {}

    def test_operating_points_arrive_unchanged(self, search: Search) -> None:
        assert search.measurements(MEASURED).points == (POINT,)

    def test_reports_come_in_order_and_at_rungs_only(self, search: Search) -> None:
        assert search.driver.reports == {
            number: [(epoch, metric_of(number, epoch)) for epoch in rungs if (number, epoch) != (STOPPED, 3)]
            for number, rungs in _RUNGS.items()
        }

    def test_stopped_trial_ends_after_the_report_that_stopped_it(self, search: Search) -> None:
        assert search.driver.outcomes[STOPPED] == [Stopped(STOP_AFTER, metric_of(STOPPED, STOP_AFTER))]

    def test_exception_is_a_failure_with_a_reason_of_one_line(self, search: Search) -> None:
        assert search.driver.outcomes[FAILED] == [Failed("ValueError: a message of two lines")]

    def test_trial_that_died_can_run_again(self, search: Search) -> None:
        first, *others = search.driver.outcomes[KILLED]
        assert first == Died()
        assert len(others) == 1
        assert search.measurements(KILLED).record["seed"] == KILLED

    def test_all_other_trials_end_once(self, search: Search) -> None:
        counts = {number: len(ends) for number, ends in search.driver.outcomes.items() if number != KILLED}
        assert counts == dict.fromkeys((MEASURED, STOPPED, FAILED, LOST_INHERITANCE, LAST), 1)

    def test_lost_inheritance_is_told_before_the_trial_starts_from_scratch(self, search: Search) -> None:
        assert search.driver.lost_inheritance == {LOST_INHERITANCE: [("stream left: no such file", 0)]}
        assert search.measurements(LOST_INHERITANCE).record["weight_sources"] == {}


def _assignment(number: int) -> Assignment:
    return Assignment(
        number,
        number,
        _RECIPE,
        division=1 if number == LAST else 0,
        rungs=_RUNGS.get(number, ()),
        inherited=_INHERITED.get(number, {}),
        ends_s=600.0 if number == LAST else None,
    )
