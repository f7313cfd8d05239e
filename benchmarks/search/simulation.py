"""A search on simulated workers: trainings are looked up, and an epoch takes a second of simulated time on average."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna
from optuna.storages import InMemoryStorage

from benchmarks.search.engine import Engine, OptunaEngine, StudyEngine
from benchmarks.search.plain_driver import PlainDriver
from benchmarks.search.problem import Problem
from nasfuse.backends.outcome import Measured, Outcome, Stopped
from nasfuse.backends.simulated import SimulatedBackend, SimulatedTraining
from nasfuse.domain.metric import METRICS
from nasfuse.domain.operating_point import Measurements, OperatingPoint
from nasfuse.experiment.driver import SearchDriver
from nasfuse.search.assignment import Assignment
from nasfuse.search.scheduler import Scheduler
from nasfuse.search.study_attributes import StudyAttributes
from nasfuse.search.trial import TrialView
from nasfuse.search.views import trials_of
from nasfuse.seeds import derive_seed
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.study import StudyConfig


@dataclass
class Run:
    """What a search did.

    Attributes:
        steps: (epochs spent by all workers together, hypervolume), whenever a full training ended.
        epochs: Spent when the search ended.
        n_complete: Full trainings.
        n_stopped: Trainings that were stopped early.
        suggestion_s: Seconds of each suggestion.
        fallbacks: Suggestions for which the sampler recorded a fallback.
    """

    steps: list[tuple[float, float]] = field(default_factory=list)
    epochs: float = 0.0
    n_complete: int = 0
    n_stopped: int = 0
    suggestion_s: list[float] = field(default_factory=list)
    fallbacks: int = 0


def simulate(
    problem: Problem,
    engine: Engine,
    *,
    seed: int,
    full_trainings: float | None = None,
    trials: int | None = None,
    workers: int = 1,
    by_macs: bool = False,
) -> Run:
    """Returns what `engine` does on `problem` until its budget is spent.

    A training that is stopped has cost the epochs it ran; one that is cut off by the end counts for nothing, as do
    stopped ones in the hypervolume. A worker that waits is paid as one that trains.

    Args:
        problem: Gives costs and learning curves.
        engine: A study of nasfuse or a plain loop of Optuna.
        seed: Seed of the sampler and of the trainings.
        full_trainings: Budget in epochs of all workers together, over the epochs of a full training; a study has it as
            its budget of time.
        trials: Trainings to start; what has been started is then brought to its end.
        workers: Trainings at a time.
        by_macs: Whether an epoch takes the longer, the more MACs a network has (`Problem.epoch_s`), and not a second.
            What is paid is then the time.
    """
    end = np.inf if full_trainings is None else full_trainings * problem.max_epochs / workers
    simulation = _Simulation(problem, end=end, workers=workers, by_macs=by_macs)
    if isinstance(engine, OptunaEngine):
        return simulation.run_plain(engine, seed=seed, trials=np.inf if trials is None else trials)
    study = _study(problem, engine, seed=seed, seconds=end, trials=trials)
    return simulation.run_study(study, engine)


def _study(problem: Problem, engine: StudyEngine, *, seed: int, seconds: float, trials: int | None) -> StudyConfig:
    budget = {"trials": trials, "minutes": seconds / 60 if np.isfinite(seconds) else None, "repeats": engine.repeats}
    return StudyConfig.parse(
        {
            **problem.asked,
            "name": problem.name,
            "sampler": engine.sampler,
            "seed": seed,
            "budget": {key: value for key, value in budget.items() if value is not None},
            **({} if engine.stopping else {"stopping": "off"}),
        }
    )


def _storage_with_lag(study: StudyConfig, *, lag: int) -> InMemoryStorage:
    """Returns a storage in which `study` was created with a visibility lag; a scheduler that opens it keeps the lag."""
    storage = InMemoryStorage()
    directions = [METRICS[study.metric].direction, "minimize"]
    created = optuna.create_study(study_name=study.name, storage=storage, directions=directions)
    attributes = StudyAttributes(created)
    attributes.claim_format()
    attributes.visibility_lag = lag
    return storage


class _Simulation:
    """One search; it is also the observer of the driver of a study."""

    def __init__(self, problem: Problem, *, end: float, workers: int, by_macs: bool) -> None:
        self._problem = problem
        self._epoch_s: Callable[[float], float] = problem.epoch_s if by_macs else lambda _macs: 1.0
        self._end = end
        self._workers = workers
        self._backend = SimulatedBackend(self._train, capacity=workers)
        self._started: dict[int, tuple[float, float]] = {}
        self._points: list[tuple[float, float]] = []
        self._run = Run()

    def run_plain(self, engine: OptunaEngine, *, seed: int, trials: float) -> Run:
        driver = PlainDriver(
            self._problem,
            engine.sampler(derive_seed(seed, "sampler")),
            seed=seed,
            n_workers=self._workers,
            is_over=lambda n_trials: n_trials >= trials or self._backend.now >= self._end,
            on_end=self.ended,
        )
        self._backend.run(driver)
        self._run.suggestion_s = driver.suggestion_s
        return self._finished(trials_of(driver.study))

    def run_study(self, study: StudyConfig, engine: StudyEngine) -> Run:
        problem = self._problem
        error, cost = problem.reference
        scheduler = Scheduler(
            InMemoryStorage() if engine.delays_results else _storage_with_lag(study, lag=self._workers),
            study,
            problem.space,
            macs_of=lambda recipe: problem.macs_of(problem.cost_of(problem.parameters_of(recipe))),
            reference=lambda: (problem.metric_of(error), float(problem.macs_of(cost))),
            seconds_of=self._seconds_of if engine.knows_durations else None,
            clock=self._backend.clock,
        )
        SearchDriver(scheduler, n_workers=self._workers, observers=(self,)).run(self._backend)
        trials = scheduler.trials()
        self._run.suggestion_s = [trial.suggestion_s for trial in trials if trial.suggestion_s is not None]
        return self._finished(trials)

    def _seconds_of(self, _recipe: Recipe, macs: int) -> float:
        return self._problem.max_epochs * self._epoch_s(macs)

    def _train(self, assignment: Assignment) -> SimulatedTraining:
        problem = self._problem
        params = problem.parameters_of(assignment.recipe)
        errors, cost = problem.curve(params, seed=assignment.seed), problem.cost_of(params)
        counted = problem.counted_error(params, observed=float(errors[-1]))
        self._started[assignment.number] = counted, cost
        curve = [problem.metric_of(float(error)) for error in errors]
        point = OperatingPoint(
            metric=curve[-1], macs=problem.macs_of(cost), params=0, latency_s=0.0, latency_iqr_s=0.0, peak_bytes=0
        )
        record = {"epochs": len(curve), "epochs_asked": len(curve)}
        return SimulatedTraining(curve, Measured(Measurements((point,), record)), epoch_s=self._epoch_s(point.macs))

    def started(self, assignment: Assignment) -> None:
        """Does nothing: the simulated worker has called `_train`."""

    def ended(self, number: int, outcome: Outcome, **_: Any) -> None:
        """Adds a training that ended in time to the run."""
        now = self._backend.now
        if now > self._end:
            return
        if isinstance(outcome, Stopped):
            self._run.n_stopped += 1
            return
        self._points.append(self._started[number])
        self._run.n_complete += 1
        self._run.steps.append((now * self._workers, self._problem.hypervolume(np.array(self._points))))

    def _finished(self, trials: Sequence[TrialView]) -> Run:
        self._run.fallbacks = sum(trial.fallback is not None for trial in trials)
        self._run.epochs = min(self._end, self._backend.now) * self._workers
        return self._run


def hypervolume_at(steps: list[Any], epochs: float) -> float:
    """Returns the hypervolume once `epochs` are spent."""
    return max((value for spent, value in steps if spent <= epochs), default=0.0)


def epochs_until(steps: list[Any], hypervolume: float) -> float:
    """Returns the epochs after which `hypervolume` is reached, infinite if it never is."""
    return min((spent for spent, value in steps if value >= hypervolume), default=np.inf)
