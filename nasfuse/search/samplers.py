"""Samplers: what suggests the next trial. All are Optuna samplers, chosen by name in the study file."""

import warnings
from collections.abc import Callable

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler

from nasfuse.errors import InvalidInputError, nearest


def _tpe(seed: int) -> BaseSampler:
    """Returns TPE that models fields together where they exist together."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(seed=seed, multivariate=True, group=True)


#: Sampler by name, called with a seed. A sampler is made anew for every trial, so that its random numbers
#: depend on the trial and not on what the process has done before; its knowledge is the storage.
SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": _tpe,
    "nsga2": lambda seed: NSGAIISampler(seed=seed),
    "random": lambda seed: RandomSampler(seed=seed),
}


def make_sampler(name: str, seed: int) -> BaseSampler:
    """Returns the sampler called `name`.

    Raises:
        InvalidInputError: No such sampler.
    """
    if name not in SAMPLERS:
        raise InvalidInputError(f"sampler: {name!r} is not known; {nearest(name, SAMPLERS)}")
    return SAMPLERS[name](seed)
