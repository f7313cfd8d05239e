"""Selection: the one point of a front to take when the user names no limit."""

import numpy as np
import numpy.typing as npt

from nasfuse.errors import InvalidInputError
from nasfuse.pareto.costs import as_costs
from nasfuse.pareto.dominance import non_dominated


def knee(costs: npt.ArrayLike) -> int:
    """Returns the index of the point where the front bends most, the knee.

    The front is scaled to the unit square; the knee lies furthest below the chord between its two ends
    (Das 1999, for two objectives and with the chord through the ends that were found). A front that never
    falls below the chord has its knee at the end that is best in the first objective; ties go to that side.
    Units do not matter, curvature does: give log(MACs) where factors are what counts.

    Args:
        costs: Shape (n, 2), n >= 1, both objectives minimised. Dominated points are never chosen.

    Raises:
        InvalidInputError: If there is no point, the objectives are not two, a cost is NaN or the front is
            infinite.

    >>> knee([[0, 10], [1, 2], [9, 1], [10, 0]])
    1
    """
    table = as_costs(costs)
    if table.shape[1] != 2 or len(table) == 0:
        raise InvalidInputError(f"a knee needs at least one point of two objectives, got shape {table.shape}")
    members = np.flatnonzero(non_dominated(table))
    members = members[np.argsort(table[members, 0])]
    front = table[members]
    if not np.isfinite(front).all():
        raise InvalidInputError("a knee needs a finite front, got an infinite cost; leave such points out")
    span = np.ptp(front, axis=0)
    scaled = (front - front.min(axis=0)) / np.where(span > 0, span, 1.0)
    height = scaled.sum(axis=1).round(12)  # 1 on the chord; rounded, so that a straight front is a tie
    return int(members[np.argmin(height)])
