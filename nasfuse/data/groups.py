"""Selection of whole groups with a given share of the samples, approximately stratified by class."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasfuse.errors import DataError

Floats = NDArray[np.float64]

#: Number of random orders of the groups; the best selection is used.
_N_ORDERS = 32


def choose_groups(groups: NDArray[Any], classes: NDArray[np.int64], share: float, *, seed: int) -> NDArray[np.bool_]:
    """Returns a mask of shape (n,) of the samples in the chosen groups, which have about `share` of all samples.

    Groups are visited in random orders. A group is chosen if it brings the numbers of chosen samples, in total and per
    class, closer to their targets and leaves at least one sample of every class. scikit-learn's `StratifiedGroupKFold`
    supports only shares of 1 / k and takes time proportional to k times the number of groups.

    Args:
        groups: (n,) group of each sample.
        classes: (n,) class numbers; all equal to disable stratification.
        share: Share of the samples, between 0 and 1.
        seed: Seed of the random orders.

    Raises:
        DataError: No group can be chosen, because each one contains all samples of a class.
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
    """Returns the distance of (..., c) counts from their targets; the total has the weight of all classes together."""
    by_class = ((taken - share * total) ** 2 / total).sum(-1)
    overall = (taken.sum(-1) - share * total.sum()) ** 2 / total.sum()
    return np.asarray(by_class + len(total) * overall)


def _closest_group(counts: Floats, total: Floats, share: float) -> int:
    """Returns the closest admissible group, for the case that every group is larger than the share."""
    allowed = (counts < total).all(axis=1)
    if not allowed.any():
        raise DataError("every group contains all samples of a class; use another group array")
    return int(np.where(allowed, _distance(counts, total, share), np.inf).argmin())
