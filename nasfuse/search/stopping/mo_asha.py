"""When a training is not worth finishing: multi-objective asynchronous successive halving (MO-ASHA)."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nasfuse.pareto import non_dominated_rank

#: The lowest error and the lowest cost go on from every rung, however few have come so far.
_N_CORNERS = 2


class MultiObjectiveAsha:
    """Decides at a few epochs, the rungs, whether a training goes on (Schmucker et al. 2021, algorithms 1 and 2).

    At a rung a training is compared with those that were there before, by (error, log cost), both minimised. They
    are put in order by non-dominated rank and, within a rank, by spread; the first 1 / eta of them, rounded up, may
    go on, at least two. The first `eta` - 1 trainings at a rung all go on: there is nothing to choose from yet.

    What differs from the paper:

    * Rungs are counted from the end of a training, at 1 / eta, 1 / eta**2, ... of its epochs. A learning rate that
      comes down to zero at the end makes the same epoch of a short and of a long training two different things, and
      the first epochs of any training tell little.
    * Cost is the same at every rung. So the cheapest networks lie on every front, however bad they are: they share
      the quota with the rest of their rank, and of a rank too large for it those are taken that lie far apart.
      That order begins with the corners, the lowest error and the lowest cost, so that neither end starves.
    * Costly networks learn slowly and are dominated early by cheaper ones that they would overtake. So a training
      also goes on where none of those that cost at least as much has an error as low, and where it is expected to
      end below all finished ones that cost as little. A search that suggests well would else lose much of the front.
    * A training that goes on is not paused until the rung has filled: it is decided at once, and never revised.
    """

    def __init__(self, *, eta: int = 3, n_rungs: int = 2) -> None:
        """Keeps the rule's numbers.

        Args:
            eta: One in so many goes on; at least 2.
            n_rungs: How often a training is looked at.
        """
        self._eta = eta
        self._n_rungs = n_rungs

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """Returns the epochs after which a training of `epochs` is looked at; none where it is too short.

        >>> MultiObjectiveAsha(eta=3, n_rungs=2).rungs(27)
        (3, 9)
        """
        shares = (round(epochs / self._eta**power) for power in range(self._n_rungs, 0, -1))
        return tuple(sorted({epoch for epoch in shares if 0 < epoch < epochs}))

    def goes_on(
        self, own: Sequence[float], earlier: npt.ArrayLike, *, end: float = math.inf, finished: npt.ArrayLike = ()
    ) -> bool:
        """Returns whether a training with the costs `own` goes on.

        Args:
            own: (error, log cost) at a rung.
            earlier: Shape (n, 2), those of other trainings at the same rung.
            end: Error that is expected at the end.
            finished: Shape (m, 2), (error, log cost) of trainings that came to their end.
        """
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
    """Returns the row numbers of `costs`, shape (n, k), those most worth keeping first.

    Ranks follow one another. Within one, the rows that are lowest in an objective come first, the corners of the
    front, then always the row farthest from all that were taken: an epsilon-net, objectives scaled to [0, 1] over the
    whole table (Schmucker et al. 2021, section 3.2, which starts anywhere). The earlier of two equal rows comes first.
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
    """Returns the row numbers of `points`: the best of each objective, then each as far as can be from those before."""
    order = list(dict.fromkeys(int(row) for row in points.argmin(axis=0)))
    distances = np.linalg.norm(points[:, None] - points[None, order], axis=2).min(axis=1)
    while len(order) < len(points):
        distances[order] = -1.0
        order.append(int(distances.argmax()))
        distances = np.minimum(distances, np.linalg.norm(points - points[order[-1]], axis=1))
    return order
