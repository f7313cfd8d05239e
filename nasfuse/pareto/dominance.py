"""Pareto dominance: a point dominates another if it is at least as good in all objectives and better in one."""

import numpy as np
import numpy.typing as npt

from nasfuse.pareto.validation import as_costs


def non_dominated(costs: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Returns the mask of the non-dominated points, of shape (n,).

    Only the first of identical rows is in the front.

    Args:
        costs: Shape (n, k), all objectives minimised.

    Raises:
        InvalidInputError: `costs` is not a table, or contains NaN.

    >>> non_dominated([[1, 4], [2, 2], [3, 3], [2, 2]]).tolist()
    [True, True, False, False]
    """
    table = as_costs(costs)
    mask = np.zeros(len(table), dtype=np.bool_)
    if table.shape[1] == 2 and len(table):
        order = _lexicographic(table)
        second = table[order, 1]
        mask[order[0]] = True
        mask[order[1:]] = second[1:] < np.minimum.accumulate(second)[:-1]
        return mask
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
    """Returns the non-dominated rank of each point, of shape (n,); 0 is the non-dominated front.

    Front r consists of the points that are non-dominated after fronts 0 to r - 1 are removed (Deb et al. 2002, NSGA-II,
    section III-A, which counts from 1). Identical rows have the same rank, because neither dominates the other;
    `non_dominated` keeps only the first of them.

    Args:
        costs: Shape (n, k), all objectives minimised.

    Raises:
        InvalidInputError: `costs` is not a table, or contains NaN.

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
    """Returns the indices that sort the rows by the first objective, ties by the next ones, then by position."""
    return np.lexsort(table.T[::-1])
