"""Encoding: features of a draw for a Gaussian process."""

import math

import numpy as np
from numpy.typing import NDArray

from nasfuse.search.samplers.domain import Array, Column, Domain

#: Feature of an ordered parameter that does not exist.
_ABSENT = 0.5

#: Feature of the choice that an unordered parameter has; two choices are at distance 1, as are the ends of a range.
_CHOSEN = math.sqrt(0.5)


class Encoding:
    """Maps the rows of a domain to features in the unit interval.

    An ordered parameter is encoded as its position in its range, on the scale it is drawn on; an unordered one is
    one-hot encoded. A parameter that does not exist has a fixed value, and for each set of conditions one additional
    feature marks whether the parameters under it exist.

    Attributes:
        groups: Shape (d,), number of the group of each feature. The features of one parameter are a group.
    """

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        firsts = {when: index for index, when in reversed(list(enumerate(domain.conditions))) if when}
        self._witnesses = sorted(firsts.values())
        blocks = self._blocks(np.empty((0, len(domain.columns))))
        self.groups: NDArray[np.int64] = np.repeat(np.arange(len(blocks)), [block.shape[1] for block in blocks])

    def features(self, rows: Array) -> Array:
        """Returns the features (n, d) of `rows` (n, p)."""
        return np.column_stack([np.empty((len(rows), 0)), *self._blocks(rows)])

    def _blocks(self, rows: Array) -> list[Array]:
        """Returns the features of each group, of shape (n, size of the group)."""
        units = self._domain.units(rows)
        blocks = [
            _ordered(column, units[:, index]) if _is_line(column) else _one_hot(column, rows[:, index])
            for index, column in enumerate(self._domain.columns)
            if column.n_levels != 1
        ]
        return [*blocks, *(~np.isnan(rows[:, [index]]) * 1.0 for index in self._witnesses)]


def _is_line(column: Column) -> bool:
    return column.is_ordinal or column.n_levels <= 2


def _ordered(column: Column, units: Array) -> Array:
    """Returns one feature (n, 1) that is 0 and 1 at the ends of the range."""
    if column.n_levels:  # the first and the last level become 0 and 1
        low, high = column.units(column.values(np.array([0.0, 1.0])))
        units = (units - low) / (high - low)
    return np.where(np.isnan(units), _ABSENT, units)[:, None]


def _one_hot(column: Column, values: Array) -> Array:
    return np.where(values[:, None] == np.arange(column.n_levels), _CHOSEN, 0.0)
