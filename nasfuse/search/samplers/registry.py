"""The samplers by the names that study files use."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, NSGAIIISampler, NSGAIISampler, RandomSampler

from nasfuse.search.samplers.costs import CostOf, IsVisited
from nasfuse.search.samplers.domain import Domain
from nasfuse.search.samplers.fallback import tpe
from nasfuse.search.samplers.known_cost import KnownCostSampler
from nasfuse.seeds import derive_seed
from nasfuse.spec.study import Sampler


@dataclass(frozen=True)
class Known:
    """What is known of a study before any training; the arguments of `KnownCostSampler`."""

    domain: Domain | None = None
    cost_of: CostOf | None = None
    least_cost_of: CostOf | None = None
    max_cost: float | None = None
    reference: tuple[float, float] | None = None
    is_visited: IsVisited | None = None


#: Optuna's own samplers by name, called with a seed.
_OPTUNA: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": tpe,
    "nsga2": lambda seed: NSGAIISampler(seed=seed),
    "nsga3": lambda seed: NSGAIIISampler(seed=seed),
    "gp": lambda seed: GPSampler(seed=seed),
    "random": lambda seed: RandomSampler(seed=seed),
}


def make_sampler(
    name: Sampler, seed: int, *, number: int = 0, redraw: int = 0, known: Known | None = None
) -> BaseSampler:
    """Returns the sampler called `name`, for one trial.

    A sampler is made anew for every trial, so that its random numbers depend on the trial and not on what the
    process has done before; its knowledge is the storage.

    Args:
        name: As study files have it.
        seed: Of the study.
        number: Of the trial.
        redraw: How often the trial's parameters were drawn before; other random numbers each time. The known-cost
            sampler does not need it.
        known: What only the known-cost sampler asks for.
    """
    if name == "known_cost":
        return KnownCostSampler(seed, **vars(known or Known()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return _OPTUNA[name](derive_seed(seed, f"sampler/redraw {redraw}" if redraw else "sampler", number))
