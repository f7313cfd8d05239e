"""Encoding: features of a draw for a Gaussian process."""

from collections.abc import Sequence

import numpy as np

from nasfuse.search.samplers.domain import Array, Column, Domain

#: Feature of an ordered parameter that does not exist.
_ABSENT = 0.5


class Encoding:
    """Maps the rows of a domain to features in the unit interval.

    An ordered parameter is encoded as its position in its range, on the scale it is drawn on; an unordered one is
    one-hot encoded. A parameter that does not exist has a fixed value, and for each set of conditions one additional
    feature marks whether the parameters under it exist.
    """

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        firsts = {when: index for index, when in reversed(list(enumerate(domain.conditions))) if when}
        self._witnesses = sorted(firsts.values())

    def features(self, rows: Array) -> Array:
        """Returns the features (n, d) of `rows` (n, p)."""
        units = self._domain.units(rows)
        blocks: list[Array] = []
        for index, column in enumerate(self._domain.columns):
            blocks += _ordered(column, units[:, index]) if _is_line(column) else _one_hot(column, rows[:, index])
        exists = ~np.isnan(rows[:, self._witnesses])
        return np.column_stack([*blocks, exists.astype(float)])


def _is_line(column: Column) -> bool:
    return column.is_ordinal or column.n_levels <= 2


def _ordered(column: Column, units: Array) -> Sequence[Array]:
    """Returns one feature (n,) that is 0 and 1 at the ends of the range; none for a constant."""
    if column.n_levels == 1:
        return []
    if column.n_levels:  # the first and the last level become 0 and 1
        low, high = column.units(column.values(np.array([0.0, 1.0])))
        units = (units - low) / (high - low)
    return [np.where(np.isnan(units), _ABSENT, units)]


def _one_hot(column: Column, values: Array) -> Sequence[Array]:
    return [np.where(np.isnan(values), 0.0, values == level).astype(float) for level in range(column.n_levels)]
