"""Numerical form of a search space: each draw is a row, each parameter a column."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from nasfuse.search.parameters import Condition, Parameter, middle

Array = NDArray[np.float64]

#: Bins of the range of a continuous parameter; values in one bin count as equal where duplicates are looked for.
N_BINS = 100


class Column:
    """One parameter, with the mapping between the unit interval and the values of its distribution.

    Values are in Optuna's internal representation: the index of a choice, or the number itself.

    Attributes:
        name: Name of the parameter.
        distribution: Optuna distribution.
        is_ordinal: Whether its values are ordered numbers; choices that are all numbers count as ordered.
        n_levels: Number of values; 0 for a continuous parameter.
    """

    def __init__(self, name: str, distribution: BaseDistribution) -> None:
        self.name = name
        self.distribution = distribution
        self._order = _order_of(distribution)
        self.is_ordinal = not isinstance(distribution, CategoricalDistribution) or _are_numbers(distribution.choices)
        self.n_levels = _n_levels(distribution)

    def values(self, units: Array) -> Array:
        """Returns the values (n,) for `units` (n,) in [0, 1]; uniform units give draws from the distribution."""
        if self._order is not None:
            return self._order[self._level(units)]
        low, high, is_log = self._range()
        if self.n_levels == 1:
            return np.full(len(units), low)
        if self.n_levels and not is_log:
            return low + self._step * self._level(units).astype(np.float64)
        half = 0.5 if self.n_levels else 0.0  # each integer covers half a unit on either side
        if is_log:
            found = (low - half) * ((high + half) / (low - half)) ** units
        else:
            found = low + units * (high - low)
        return np.asarray(np.clip(np.round(found) if self.n_levels else found, low, high))

    def units(self, values: Array) -> Array:
        """Returns units (n,) that `values` maps to the given values (n,); NaN for NaN."""
        if self.n_levels == 1:
            return np.where(np.isnan(values), np.nan, 0.5)
        if self._order is not None:
            rank = np.argsort(self._order).astype(float)
            levels = rank[np.nan_to_num(values).astype(int)]
            return np.where(np.isnan(values), np.nan, (levels + 0.5) / self.n_levels)
        low, high, is_log = self._range()
        if self.n_levels and not is_log:
            return ((values - low) / self._step + 0.5) / self.n_levels
        half = 0.5 if self.n_levels else 0.0
        if is_log:
            return np.asarray(np.log(values / (low - half)) / math.log((high + half) / (low - half)))
        return (values - low) / (high - low)

    def snapped(self, value: float) -> float:
        """Returns `value` rounded to exactly the number that `values` returns for it."""
        if not isinstance(self.distribution, FloatDistribution) or self.distribution.step is None:
            return value  # already exact
        return float(self.values(self.units(np.array([value])))[0])

    def coarse(self, value: float) -> float:
        """Returns the middle of the hundredth of the range that holds `value`; of a discrete column `value` itself."""
        if self.n_levels or math.isnan(value):
            return value
        unit = np.clip(self.units(np.array([value])), 0.0, 1.0 - 1e-9)
        return float(self.values((np.floor(unit * N_BINS) + 0.5) / N_BINS)[0])

    def levels(self) -> list[Any]:
        """Returns all values in the form that recipes use; empty for a continuous parameter."""
        if isinstance(self.distribution, CategoricalDistribution):
            return list(self.distribution.choices)
        numbers = self._range()[0] + self._step * np.arange(self.n_levels)
        return [self.distribution.to_external_repr(float(number)) for number in numbers]

    @property
    def _step(self) -> float:
        assert isinstance(self.distribution, IntDistribution | FloatDistribution)
        return float(self.distribution.step or 1)

    def _range(self) -> tuple[float, float, bool]:
        assert isinstance(self.distribution, IntDistribution | FloatDistribution)
        return float(self.distribution.low), float(self.distribution.high), self.distribution.log

    def _level(self, units: Array) -> NDArray[np.int64]:
        return np.clip((units * self.n_levels).astype(np.int64), 0, self.n_levels - 1)


class Domain:
    """Parameters of a search space, with the conditions under which each exists.

    A row (p,) holds one value per parameter; NaN if the parameter does not exist, given the others.

    Attributes:
        columns: One column per parameter; each follows those that its conditions refer to.
    """

    def __init__(self, parameters: Sequence[Parameter], *, constants: Mapping[str, Any] | None = None) -> None:
        """Sets up the columns.

        Args:
            parameters: Parameters of a space; each follows those that its conditions refer to.
            constants: Values of fields that are not drawn but that conditions refer to.
        """
        self._parameters = list(parameters)
        self._constants = dict(constants or {})
        self.columns = [Column(parameter.name, parameter.distribution) for parameter in self._parameters]
        self._index = {column.name: index for index, column in enumerate(self.columns)}

    @classmethod
    def unconditional(cls, distributions: Mapping[str, BaseDistribution]) -> "Domain":
        """Returns a domain in which every parameter always exists."""
        return cls([Parameter(name, drawn, middle(drawn)) for name, drawn in distributions.items()])

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Distribution of each parameter, by name."""
        return {column.name: column.distribution for column in self.columns}

    @property
    def conditions(self) -> list[tuple[Condition, ...]]:
        """Conditions of each column."""
        return [parameter.when for parameter in self._parameters]

    def rows(self, units: Array) -> Array:
        """Returns the rows (n, p) for `units` (n, p) in the unit cube; NaN for parameters that do not exist."""
        rows = np.column_stack([column.values(units[:, index]) for index, column in enumerate(self.columns)])
        for index, parameter in enumerate(self._parameters):
            for condition in parameter.when:
                rows[~self._holds(condition, rows), index] = np.nan
        return rows

    def units(self, rows: Array) -> Array:
        """Returns units (n, p) that `rows` maps to the given rows (n, p); NaN for parameters that do not exist."""
        return np.column_stack([column.units(rows[:, index]) for index, column in enumerate(self.columns)])

    def parameters(self, row: Array) -> dict[str, Any]:
        """Returns the parameters of a row (p,), in the form that Optuna uses outside of its storage."""
        return {
            column.name: column.distribution.to_external_repr(float(value))
            for column, value in zip(self.columns, row, strict=True)
            if not np.isnan(value)
        }

    def coarse(self, row: Array) -> Array:
        """Returns the row (p,) with every continuous value in the middle of its bin."""
        return np.array([column.coarse(value) for column, value in zip(self.columns, row, strict=True)])

    def row(self, parameters: Mapping[str, Any]) -> Array | None:
        """Returns the row (p,) of `parameters`; None if one is missing or outside its distribution."""
        try:
            complete = self.complete(lambda parameter: parameters[parameter.name])
        except KeyError:
            return None
        row = np.full(len(self.columns), np.nan)
        for name, value in complete.items():
            index = self._index[name]
            if not self._parameters[index].allows(value):
                return None
            row[index] = self.columns[index].snapped(self.columns[index].distribution.to_internal_repr(value))
        return row

    def complete(self, value_of: Callable[[Parameter], Any]) -> dict[str, Any]:
        """Returns the parameters that exist if each existing one has the value that `value_of` returns."""
        values = dict(self._constants)
        complete: dict[str, Any] = {}
        for parameter in self._parameters:
            if parameter.exists(values):
                values[parameter.name] = complete[parameter.name] = value_of(parameter)
        return complete

    def combinations(self, *, limit: int) -> list[dict[str, Any]] | None:
        """Returns all combinations of values; None if there are more than `limit`, or a parameter is continuous."""
        found: list[dict[str, Any]] = [{}]
        for column, parameter in zip(self.columns, self._parameters, strict=True):
            without = [one for one in found if not parameter.exists({**self._constants, **one})]
            within = [one for one in found if parameter.exists({**self._constants, **one})]
            if within and (column.n_levels == 0 or len(without) + len(within) * column.n_levels > limit):
                return None
            found = [*without, *({**one, column.name: level} for one in within for level in column.levels())]
        return found

    def _holds(self, condition: Condition, rows: Array) -> NDArray[np.bool_]:
        """Returns which rows fulfil `condition`; it is evaluated once per distinct value of the other parameter."""
        index = self._index.get(condition.name)
        if index is None:
            return np.full(len(rows), condition.holds(self._constants))
        outside = self.columns[index].distribution.to_external_repr
        distinct, inverse = np.unique(rows[:, index], return_inverse=True)
        answers = [not np.isnan(one) and condition.holds({condition.name: outside(float(one))}) for one in distinct]
        return np.array(answers, dtype=np.bool_)[inverse]


def _are_numbers(choices: Sequence[Any]) -> bool:
    return all(isinstance(choice, int | float) and not isinstance(choice, bool) for choice in choices)


def _order_of(distribution: BaseDistribution) -> Array | None:
    """Returns the indices of the choices from the smallest number to the largest; None for a range."""
    if not isinstance(distribution, CategoricalDistribution):
        return None
    if _are_numbers(distribution.choices):
        return np.argsort(np.array(distribution.choices, dtype=float), kind="stable").astype(float)
    return np.arange(len(distribution.choices), dtype=float)


def _n_levels(distribution: BaseDistribution) -> int:
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    if distribution.step is None:
        return int(distribution.single())
    return round((distribution.high - distribution.low) / distribution.step) + 1
