"""Dominance: a point dominates another that is nowhere better and somewhere worse."""

import numpy as np
import numpy.typing as npt

from nasfuse.pareto.costs import as_costs


def non_dominated(costs: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Returns the mask, shape (n,), of the points on the front.

    Of identical rows the first is kept, so the front is a set.

    Args:
        costs: Shape (n, k), all objectives minimised.

    Raises:
        InvalidInputError: If `costs` is no table or holds NaN.

    >>> non_dominated([[1, 4], [2, 2], [3, 3], [2, 2]]).tolist()
    [True, True, False, False]
    """
    table = as_costs(costs)
    mask = np.zeros(len(table), dtype=np.bool_)
    front = np.empty_like(table)
    n_front = 0
    # In lexicographic order no row is dominated by a later one, and of duplicates the first comes first.
    for index in _lexicographic(table):
        row = table[index]
        if not (front[:n_front] <= row).all(axis=1).any():
            front[n_front] = row
            n_front += 1
            mask[index] = True
    return mask


def non_dominated_rank(costs: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Returns the number, shape (n,), of the front each point lies on; 0 is the non-dominated front.

    Front r is what is non-dominated once the fronts before it are taken away (Deb et al. 2002, NSGA-II,
    section III-A, which counts from 1). Identical rows share a rank, because neither dominates the other;
    `non_dominated` keeps only the first of them.

    Args:
        costs: Shape (n, k), all objectives minimised.

    Raises:
        InvalidInputError: If `costs` is no table or holds NaN.

    >>> non_dominated_rank([[1, 4], [2, 2], [3, 3], [2, 2]]).tolist()
    [0, 0, 1, 0]
    """
    table = as_costs(costs)
    order = _lexicographic(table)
    ordered = table[order]
    ordered_ranks = np.zeros(len(table), dtype=np.int64)
    for position, row in enumerate(ordered):
        earlier = ordered[:position]
        dominates = (earlier <= row).all(axis=1) & (earlier < row).any(axis=1)
        ordered_ranks[position] = 1 + ordered_ranks[:position].max(where=dominates, initial=-1)
    ranks = np.empty_like(ordered_ranks)
    ranks[order] = ordered_ranks
    return ranks


def _lexicographic(table: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Returns the row order by the first objective, ties by the next one, then by position."""
    return np.lexsort(table.T[::-1])
