"""Selection of a single point of a front."""

import numpy as np
import numpy.typing as npt

from nasfuse.errors import InvalidInputError
from nasfuse.pareto.dominance import non_dominated
from nasfuse.pareto.validation import as_costs


def knee(costs: npt.ArrayLike) -> int:
    """Returns the index of the knee, the point of the front furthest below the chord between its ends.

    The front is scaled to the unit square first (Das 1999, for two objectives, with the chord through the ends of the
    given front). If no point is below the chord, the knee is the end that is best in the first objective; ties are
    resolved in favour of that objective. The result is invariant to linear scaling of the objectives but not to other
    transformations: pass log(MACs) to compare ratios of MACs.

    Args:
        costs: Shape (n, 2), n >= 1, both objectives minimised. Dominated points are never chosen.

    Raises:
        InvalidInputError: There is no point, the number of objectives is not two, a cost is NaN, or the front contains
            an infinite cost.

    >>> knee([[0, 10], [1, 2], [9, 1], [10, 0]])
    1
    """
    table = as_costs(costs)
    if table.shape[1] != 2 or len(table) == 0:
        raise InvalidInputError(
            f"costs must have shape (n, 2) with at least one point for a knee, got shape {table.shape}"
        )
    members = np.flatnonzero(non_dominated(table))
    members = members[np.argsort(table[members, 0])]
    front = table[members]
    if not np.isfinite(front).all():
        raise InvalidInputError("costs of the front must be finite for a knee, got an infinite cost; leave it out")
    span = np.ptp(front, axis=0)
    scaled = (front - front.min(axis=0)) / np.where(span > 0, span, 1.0)
    height = scaled.sum(axis=1).round(12)  # 1 on the chord; rounded, so that a straight front is a tie
    return int(members[np.argmin(height)])
