"""Choosing whole groups that make up a share of the samples, stratified by class as well as they allow."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasfuse.errors import DataError

Floats = NDArray[np.float64]

#: Random orders in which the groups are tried; the best result is taken.
_N_ORDERS = 32


def choose_groups(groups: NDArray[Any], classes: NDArray[np.int64], share: float, *, seed: int) -> NDArray[np.bool_]:
    """Returns (n,) whether a sample is in one of the chosen groups, whose samples are about `share` of all.

    The groups are tried in random orders. One is chosen if that brings the number of chosen samples, and that of each
    class, closer to its target, and leaves a sample of every class outside. scikit-learn's `StratifiedGroupKFold` knows
    only the shares 1 / k, and takes time proportional to k times the number of groups.

    Args:
        groups: (n,) group of each sample.
        classes: (n,) class numbers; equal everywhere where there is nothing to stratify.
        share: Between 0 and 1.
        seed: Of the orders.

    Raises:
        DataError: No group can be chosen, since each one holds all samples of a class.
    """
    codes = np.unique(groups, return_inverse=True)[1].reshape(-1)
    counts = np.zeros((codes.max() + 1, classes.max() + 1))
    np.add.at(counts, (codes, classes), 1)
    counts = counts[:, counts.sum(0) > 0]
    total = counts.sum(0)
    rng = np.random.default_rng(seed)
    orders = np.array([rng.permutation(len(counts)) for _ in range(_N_ORDERS)])
    taken, chosen = np.zeros((_N_ORDERS, len(total))), np.zeros(orders.shape, bool)
    for groups_tried in orders.T:
        more = taken + counts[groups_tried]
        closer = _distance(more, total, share) < _distance(taken, total, share)
        accepted = closer & (more < total).all(axis=1)
        taken[accepted] = more[accepted]
        chosen[accepted, groups_tried[accepted]] = True
    best = chosen[_distance(taken, total, share).argmin()]
    if not best.any():
        best[_closest_group(counts, total, share)] = True
    return np.asarray(best[codes])


def _distance(taken: Floats, total: Floats, share: float) -> Floats:
    """Returns how far (..., c) counts of samples are from their targets; the sum weighs as much as all classes."""
    by_class = ((taken - share * total) ** 2 / total).sum(-1)
    overall = (taken.sum(-1) - share * total.sum()) ** 2 / total.sum()
    return np.asarray(by_class + len(total) * overall)


def _closest_group(counts: Floats, total: Floats, share: float) -> int:
    """Returns the one group that may be chosen and comes closest; all are larger than what is asked for."""
    allowed = (counts < total).all(axis=1)
    if not allowed.any():
        raise DataError("every group holds all samples of a class; name another group")
    return int(np.where(allowed, _distance(counts, total, share), np.inf).argmin())
