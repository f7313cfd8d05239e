"""Multi-objective asynchronous successive halving (MO-ASHA): a rule for early stopping."""

import math
from collections.abc import Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from nasfuse.pareto import non_dominated_rank
from nasfuse.search.stopping.rule import StoppingRule
from nasfuse.spec.study import StoppingConfig

#: Least number of trainings that continue from a rung: the one with the lowest error, and the cheapest.
_N_CORNERS = 2


class MultiObjectiveAsha(StoppingRule):
    """Decides at a few epochs, the rungs, whether a training continues (Schmucker et al. 2021, algorithms 1 and 2).

    At a rung a training is compared with the trainings that reached the rung before, by (error, log cost), both
    minimised. All are sorted by non-dominated rank and, within a rank, by spread; the first 1 / eta of them, rounded
    up, continue, and at least two. The first `eta` - 1 trainings at a rung always continue.

    Differences from the paper:

    * Rungs are counted from the end of a training, at 1 / eta, 1 / eta**2, ... of its epochs. With a learning rate that
      decays to zero at the end, the same epoch is not comparable between short and long trainings.
    * The cost is the same at every rung, so the cheapest networks are on the front of each rung, whatever their error.
      They share the quota with the rest of their rank. From a rank larger than the quota, trainings far apart are
      selected, starting with the lowest error and the lowest cost.
    * Costly networks learn slowly and are dominated early by cheaper ones that they would overtake later. A training
      therefore also continues if no training of at least its cost has an error as low, or if it is expected to end
      with a lower error than all finished trainings of at most its cost.
    * The decision is made at once and never revised; a training is not paused until the rung is full.
    """

    def __init__(self, *, eta: int = 3, n_rungs: int = 2) -> None:
        """Sets the parameters of the rule.

        Args:
            eta: Reduction factor, at least 2: about one in `eta` trainings continues from a rung.
            n_rungs: Number of rungs of a training.
        """
        self._eta = eta
        self._n_rungs = n_rungs

    @classmethod
    def from_config(cls, config: StoppingConfig) -> Self:
        """Returns the rule that a study file describes."""
        return cls(eta=config.eta, n_rungs=config.rungs)

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """Returns the rungs of a training of `epochs` epochs; there are none if it is too short.

        >>> MultiObjectiveAsha(eta=3, n_rungs=2).rungs(27)
        (3, 9)
        """
        shares = (round(epochs / self._eta**power) for power in range(self._n_rungs, 0, -1))
        return tuple(sorted({epoch for epoch in shares if 0 < epoch < epochs}))

    def promotes(
        self, own: Sequence[float], earlier: npt.ArrayLike, *, end: float = math.inf, finished: npt.ArrayLike = ()
    ) -> bool:
        """Returns whether a training with the objectives `own` continues, see `StoppingRule.promotes`."""
        others = np.asarray(earlier, dtype=np.float64).reshape(-1, 2)
        ends = np.asarray(finished, dtype=np.float64).reshape(-1, 2)
        if len(others) + 1 < self._eta or _leads_the_costlier(own, others) or _would_lead((end, own[1]), ends):
            return True
        costs = np.vstack([others, own])
        quota = max(math.ceil(len(costs) / self._eta), _N_CORNERS)
        return len(others) in by_rank_and_spread(costs)[:quota]


def _leads_the_costlier(own: Sequence[float], others: npt.NDArray[np.float64]) -> bool:
    error, cost = own
    return not ((others[:, 1] >= cost) & (others[:, 0] <= error)).any()


def _would_lead(end: Sequence[float], ends: npt.NDArray[np.float64]) -> bool:
    error, cost = end
    return len(ends) > 0 and math.isfinite(error) and not ((ends[:, 1] <= cost) & (ends[:, 0] <= error)).any()


def by_rank_and_spread(costs: npt.NDArray[np.float64]) -> list[int]:
    """Returns the row indices of `costs`, shape (n, k), sorted by non-dominated rank and, within a rank, by spread.

    Within a rank, the rows with the lowest value of each objective come first, then repeatedly the row farthest from
    all selected ones: an epsilon-net, with objectives scaled to [0, 1] over the whole table (Schmucker et al. 2021,
    section 3.2, which starts at an arbitrary row). Of two equal rows, the earlier one comes first.
    """
    span = np.ptp(costs, axis=0)
    scaled = (costs - costs.min(axis=0)) / np.where(span > 0, span, 1.0)
    ranks = non_dominated_rank(costs)
    order: list[int] = []
    for rank in range(int(ranks.max()) + 1):
        rows = np.flatnonzero(ranks == rank)
        order += [int(rows[position]) for position in _far_apart(scaled[rows])]
    return order


def _far_apart(points: npt.NDArray[np.float64]) -> list[int]:
    """Returns the row indices of `points`: the best of each objective, then each time the one farthest from these."""
    order = list(dict.fromkeys(int(row) for row in points.argmin(axis=0)))
    distances = np.linalg.norm(points[:, None] - points[None, order], axis=2).min(axis=1)
    while len(order) < len(points):
        distances[order] = -1.0
        order.append(int(distances.argmax()))
        distances = np.minimum(distances, np.linalg.norm(points - points[order[-1]], axis=1))
    return order
