"""A search with a simulated clock: trainings are looked up, and one epoch takes one unit of time."""

import heapq
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.trial import Trial, TrialState

from benchmarks.search.engine import Engine, StoppingRule
from benchmarks.search.problem import Problem
from nasfuse.search.stopping.extrapolation import Extrapolation
from nasfuse.search.trial import trials_of
from nasfuse.seeds import derive_seed


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


@dataclass
class _Training:
    """One training in progress; `epoch` is where it will be at its next event."""

    trial: Trial
    cost: float
    errors: NDArray[np.float64]
    started: float
    stops: list[int]
    reached: dict[int, float] = field(default_factory=dict)

    @property
    def epoch(self) -> int:
        return self.stops[0]


def simulate(
    problem: Problem,
    engine: Engine,
    *,
    seed: int,
    full_trainings: float | None = None,
    trials: int | None = None,
    workers: int = 1,
) -> Run:
    """Returns what `engine` does on `problem` until its budget is spent.

    A training that is stopped has cost the epochs it ran; one that is cut off by the end counts for nothing, as do
    stopped ones in the hypervolume. Events of the same time are told in the order of their trials, before anything
    new is suggested.

    Args:
        problem: Gives costs and learning curves.
        engine: Suggests, and may stop.
        seed: Of the sampler and of the trainings.
        full_trainings: Budget in epochs of all workers together, over the epochs of a full training.
        trials: Trainings to start; what has been started is then brought to its end.
        workers: Trainings at a time.
    """
    return _Simulation(problem, engine, seed=seed, workers=workers).until(
        np.inf if full_trainings is None else full_trainings * problem.max_epochs / workers,
        np.inf if trials is None else trials,
    )


class _Simulation:
    def __init__(self, problem: Problem, engine: Engine, *, seed: int, workers: int) -> None:
        self._problem = problem
        self._seed = seed
        self._workers = workers
        self._rule: StoppingRule | None = engine.stopping() if engine.stopping else None
        self._study = optuna.create_study(
            directions=["minimize", "minimize"], sampler=engine.sampler(problem, derive_seed(seed, "sampler"))
        )
        self._events: list[tuple[float, int, _Training]] = []
        self._at_rung: dict[int, list[tuple[float, float]]] = {}
        self._points: list[tuple[float, float]] = []
        self._run = Run()

    def until(self, end: float, trials: float) -> Run:
        now = 0.0
        while True:
            while len(self._events) < self._workers and now < end and len(self._study.trials) < trials:
                self._start(now)
            if not self._events or self._events[0][0] > end:
                break
            now = self._events[0][0]
            while self._events and self._events[0][0] == now:
                _, number, training = heapq.heappop(self._events)
                self._look_at(training, number, now)
        self._run.fallbacks = sum(trial.fallback is not None for trial in trials_of(self._study))
        self._run.epochs = (end if self._events else now) * self._workers
        return self._run

    def _start(self, now: float) -> None:
        began = time.perf_counter()
        trial = self._study.ask()
        params = self._problem.suggest(trial)
        self._run.suggestion_s.append(round(time.perf_counter() - began, 4))
        errors = self._problem.curve(params, seed=derive_seed(self._seed, "trial", trial.number))
        trial.set_user_attr("epochs", len(errors))
        rungs = self._rule.rungs(len(errors)) if self._rule else ()
        self._schedule(
            _Training(trial, self._problem.cost_of(params), errors, started=now, stops=[*rungs, len(errors)])
        )

    def _schedule(self, training: _Training) -> None:
        heapq.heappush(self._events, (training.started + training.epoch, training.trial.number, training))

    def _look_at(self, training: _Training, number: int, now: float) -> None:
        epoch = training.stops.pop(0)
        point = (float(training.errors[epoch - 1]), training.cost)
        if not training.stops:
            self._complete(number, point, now)
            return
        training.reached[epoch] = point[0]
        training.trial.set_user_attr("rungs", training.reached)
        if self._goes_on(epoch, point, epochs=len(training.errors)):
            self._schedule(training)
        else:
            stopped = {"epoch": epoch, "epochs": len(training.errors), "metric": point[0], "log_cost": point[1]}
            training.trial.set_user_attr("stopped", stopped)
            self._study.tell(number, state=TrialState.PRUNED)
            self._run.n_stopped += 1

    def _goes_on(self, epoch: int, point: tuple[float, float], *, epochs: int) -> bool:
        assert self._rule is not None, "a training has rungs only with a rule"
        earlier = self._at_rung.setdefault(epoch, [])
        extrapolation = Extrapolation(trials_of(self._study), sign=1.0)
        end, _ = extrapolation.end(epoch=epoch, epochs=epochs, metric=point[0], inherited=False)
        decision = self._rule.goes_on(
            point, np.array(earlier).reshape(-1, 2), end=end, finished=np.array(self._points).reshape(-1, 2)
        )
        earlier.append(point)
        return decision

    def _complete(self, number: int, point: tuple[float, float], now: float) -> None:
        self._study.tell(number, list(point))
        self._points.append(point)
        self._run.n_complete += 1
        self._run.steps.append((now * self._workers, self._problem.hypervolume(np.array(self._points))))


def hypervolume_at(steps: list[Any], epochs: float) -> float:
    """Returns the hypervolume once `epochs` are spent."""
    return max((value for spent, value in steps if spent <= epochs), default=0.0)


def epochs_until(steps: list[Any], hypervolume: float) -> float:
    """Returns the epochs after which `hypervolume` is reached, infinite if it never is."""
    return min((spent for spent, value in steps if value >= hypervolume), default=np.inf)
