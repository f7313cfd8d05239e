"""Samplers, which suggest the parameters of the next trial. All are Optuna samplers, selected by name."""

from nasfuse.search.samplers.domain import Domain
from nasfuse.search.samplers.known_cost import KnownCostSampler
from nasfuse.search.samplers.registry import SamplerContext, make_sampler

__all__ = ["Domain", "KnownCostSampler", "SamplerContext", "make_sampler"]
