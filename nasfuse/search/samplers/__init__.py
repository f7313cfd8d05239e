"""Samplers: what suggests the next trial. All are Optuna samplers, chosen by name in the study file."""

from nasfuse.search.samplers.domain import Domain
from nasfuse.search.samplers.known_cost import KnownCostSampler
from nasfuse.search.samplers.registry import Known, make_sampler

__all__ = ["Domain", "Known", "KnownCostSampler", "make_sampler"]
