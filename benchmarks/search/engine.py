"""Search engines: what suggests networks, and what stops their trainings early."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy.typing as npt
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler

from benchmarks.search.problem import Problem
from nasfuse.search.samplers import Domain, KnownCostSampler
from nasfuse.search.stopping.mo_asha import MultiObjectiveAsha


class StoppingRule(Protocol):
    """Decides at some epochs whether a training goes on."""

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """Returns the epochs after which a training of `epochs` is looked at."""

    def goes_on(self, own: tuple[float, float], earlier: npt.ArrayLike, *, end: float, finished: npt.ArrayLike) -> bool:
        """Returns whether a training with (error, cost) goes on.

        Args:
            own: At the rung.
            earlier: Shape (n, 2), others at the same rung.
            end: Error that is expected at the end.
            finished: Shape (m, 2), trainings that came to their end.
        """


@dataclass(frozen=True)
class Engine:
    """One way to search.

    Attributes:
        sampler: Called with the problem and a seed.
        stopping: Made anew for every run; None trains everything to its end.
    """

    sampler: Callable[[Problem, int], BaseSampler]
    stopping: Callable[[], StoppingRule] | None = None


def _tpe_together(_problem: Problem, seed: int) -> BaseSampler:
    return _quietly(lambda: TPESampler(seed=seed, multivariate=True, group=True))


def _gp(_problem: Problem, seed: int) -> BaseSampler:
    return _quietly(lambda: GPSampler(seed=seed, warn_independent_sampling=False))


def _known_cost(problem: Problem, seed: int) -> BaseSampler:
    domain = Domain(problem.parameters)
    return KnownCostSampler(seed, domain=domain, cost_of=problem.cost_of, reference=problem.reference)


def _quietly(make: Callable[[], BaseSampler]) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return make()


#: Sampler by name, called with a problem and a seed. `tpe` is Optuna's default sampler with its default settings.
SAMPLERS: dict[str, Callable[[Problem, int], BaseSampler]] = {
    "random": lambda _, seed: RandomSampler(seed=seed),
    "nsga2": lambda _, seed: NSGAIISampler(seed=seed),
    "tpe": lambda _, seed: TPESampler(seed=seed),
    "tpe-together": _tpe_together,
    "gp": _gp,
    "known-cost": _known_cost,
}

STOPPED = "+mo-asha"

#: Engine by name: every sampler alone, and some that stop trainings early.
ENGINES = {name: Engine(sampler) for name, sampler in SAMPLERS.items()} | {
    name + STOPPED: Engine(SAMPLERS[name], MultiObjectiveAsha)
    for name in ("random", "tpe", "tpe-together", "known-cost")
}

#: Engines whose suggestions take about a second, or that make some hundred of them with costly models.
SLOW = ("gp", f"known-cost{STOPPED}")
