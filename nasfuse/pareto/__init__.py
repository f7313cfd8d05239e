"""Which points are worth having: dominance, hypervolume and the knee of a front (numpy only).

Every function takes `costs` of shape (n, k): n points, k objectives, all minimised. A metric that is to be
maximised enters with its sign turned.
"""

from nasfuse.pareto.dominance import non_dominated, non_dominated_rank
from nasfuse.pareto.hypervolume import hypervolume
from nasfuse.pareto.selection import knee

__all__ = ["hypervolume", "knee", "non_dominated", "non_dominated_rank"]
