"""Registry of samplers by the names that study files use."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, NSGAIIISampler, NSGAIISampler, RandomSampler

from nasfuse.search.samplers.costs import CostOf, IsVisited
from nasfuse.search.samplers.domain import Domain
from nasfuse.search.samplers.durations import SecondsOf
from nasfuse.search.samplers.fallback import tpe
from nasfuse.search.samplers.known_cost import KnownCostSampler
from nasfuse.seeds import derive_seed
from nasfuse.spec.study import Sampler


@dataclass(frozen=True)
class SamplerContext:
    """Information about a study for samplers: arguments of `KnownCostSampler`, which documents them."""

    domain: Domain | None = None
    cost_of: CostOf | None = None
    least_cost_of: CostOf | None = None
    max_cost: float | None = None
    reference: tuple[float, float] | None = None
    is_visited: IsVisited | None = None
    offered: Sequence[Mapping[str, Any]] = ()
    covers: bool = True
    seconds_of: SecondsOf | None = None
    budget_s: float = math.inf


#: Optuna's own samplers by name, called with a seed.
_OPTUNA: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": tpe,
    "nsga2": lambda seed: NSGAIISampler(seed=seed),
    "nsga3": lambda seed: NSGAIIISampler(seed=seed),
    "gp": lambda seed: GPSampler(seed=seed),
    "random": lambda seed: RandomSampler(seed=seed),
}


def make_sampler(
    name: Sampler, seed: int, *, number: int = 0, redraw: int = 0, context: SamplerContext | None = None
) -> BaseSampler:
    """Returns a sampler for one trial.

    A new sampler is made for every trial, so that its random numbers depend on the trial number and not on what the
    process has done before. All information about earlier trials is read from the storage.

    Args:
        name: Name of the sampler, as in study files.
        seed: Seed of the study.
        number: Number of the trial.
        redraw: How often the trial's parameters were drawn before; each time gives other random numbers. The
            known-cost sampler ignores it.
        context: Used by the known-cost sampler only.
    """
    if name == "known_cost":
        return KnownCostSampler(seed, **vars(context or SamplerContext()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return _OPTUNA[name](derive_seed(seed, f"sampler/redraw {redraw}" if redraw else "sampler", number))
