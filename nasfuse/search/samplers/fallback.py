"""Fallback of the known-cost sampler: TPE."""

import warnings
from collections.abc import Iterator

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from nasfuse.search.parameters import Parameter
from nasfuse.search.samplers.domain import Array, Domain

#: Number of suggestions of TPE that are searched for one that is not too costly.
_N_DRAWS = 16


def tpe(seed: int) -> TPESampler:
    """Returns a TPE sampler that models parameters jointly, in groups that exist together."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(seed=seed, multivariate=True, group=True)


def tpe_draws(study: Study, trial: FrozenTrial, domain: Domain, *, seed: int) -> Iterator[Array]:
    """Yields rows (p,) of `domain` that TPE suggests for `trial`."""
    sampler = tpe(seed)
    together = sampler.infer_relative_search_space(study, trial)
    for _ in range(_N_DRAWS):
        drawn = sampler.sample_relative(study, trial, together)

        def value_of(parameter: Parameter, drawn: dict[str, object] = drawn) -> object:
            if parameter.name in drawn and parameter.allows(drawn[parameter.name]):
                return drawn[parameter.name]
            return sampler.sample_independent(study, trial, parameter.name, parameter.distribution)

        row = domain.row(domain.complete(value_of))
        if row is not None:
            yield row
