"""A loop of Optuna's ask and tell, as a driver: the control that runs on the same simulated workers as a study."""

import time
from collections.abc import Callable

import optuna

from benchmarks.search.problem import Problem
from nasfuse.backends.base import Decision, Pause
from nasfuse.backends.outcome import Measured, Outcome
from nasfuse.search.assignment import Assignment
from nasfuse.seeds import derive_seed


class PlainDriver:
    """Asks for parameters whenever a worker is free, and tells the values of full trainings.

    Attributes:
        n_workers: Trials that run at a time.
        study: The study of Optuna.
        suggestion_s: Seconds of each suggestion.
    """

    def __init__(
        self,
        problem: Problem,
        sampler: optuna.samplers.BaseSampler,
        *,
        seed: int,
        n_workers: int,
        is_over: Callable[[int], bool],
        on_end: Callable[[int, Outcome], None],
    ) -> None:
        """Starts an empty study.

        Args:
            problem: Gives the space.
            sampler: Suggests.
            seed: Seed of the trainings.
            n_workers: Trials that run at a time.
            is_over: Called with the number of trials so far; returns whether no further one starts.
            on_end: Called with the number and the outcome of every trial.
        """
        self.n_workers = n_workers
        self.study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
        self.suggestion_s: list[float] = []
        self._problem = problem
        self._seed = seed
        self._is_over = is_over
        self._on_end = on_end
        self._costs: dict[int, float] = {}

    def next_trial(self) -> Assignment | Pause:
        """Returns a trial with new parameters if a worker is free and the budget is not spent."""
        if self._is_over(len(self.study.trials)):
            return Pause.WAIT if self._costs else Pause.DONE
        if len(self._costs) >= self.n_workers:
            return Pause.WAIT
        began = time.perf_counter()
        trial = self.study.ask()
        params = self._problem.space.suggest(trial)
        self.suggestion_s.append(round(time.perf_counter() - began, 4))
        self._costs[trial.number] = self._problem.cost_of(params)
        seed = derive_seed(self._seed, "trial", trial.number)
        return Assignment(trial.number, seed, self._problem.space.recipe(params))

    def on_report(self, number: int, *, epoch: int, metric: float) -> Decision:
        """Returns that the trial continues: nothing is stopped."""
        return Decision.CONTINUE

    def note(self, text: str) -> None:
        """Shows nothing."""

    def on_lost_inheritance(self, number: int, reason: str) -> None:
        """Does nothing: no trial inherits weights."""

    def on_end(self, number: int, outcome: Outcome) -> None:
        """Tells the error and the cost of a trial."""
        assert isinstance(outcome, Measured), "every training of a problem is measured"
        error = self._problem.error_of(outcome.measurements.points[0].metric)
        self.study.tell(number, [error, self._costs.pop(number)])
        self._on_end(number, outcome)
