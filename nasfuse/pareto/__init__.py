"""Pareto fronts: dominance and hypervolume (numpy only).

Every function takes `costs` of shape (n, k): n points with k objectives, all minimised. Negate a metric that is to be
maximised.
"""

from nasfuse.pareto.dominance import non_dominated, non_dominated_rank
from nasfuse.pareto.volume import hypervolume

__all__ = ["hypervolume", "non_dominated", "non_dominated_rank"]
