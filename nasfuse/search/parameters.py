"""Parameters of a search space: distributions, and conditions under which a parameter exists."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from graphlib import CycleError, TopologicalSorter
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import BaseTrial

from nasfuse.domain.route import is_dynamic, streams_of
from nasfuse.search.optuna_internals import contains

#: Name of the field whose values are routes, each written as one word.
ROUTE = "network.route"


@dataclass(frozen=True)
class Condition:
    """Condition on the value of another parameter; criteria that are None are not checked.

    Attributes:
        name: Name of the other parameter or fixed field.
        values: Values of which it must have one.
        has: Stream that must be on the route, or on one of several routes.
        at_least: Smallest number, or smallest count of streams on a route.
        dynamic: Whether a router must choose between several routes.
    """

    name: str
    values: tuple[Any, ...] | None = None
    has: str | None = None
    at_least: float | None = None
    dynamic: bool | None = None

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Returns whether `values` fulfil the condition; an absent value does not."""
        if self.name not in values:
            return False
        value = values[self.name]
        if self.values is not None and value not in self.values:
            return False
        if self.has is not None and self.has not in streams_of(str(value)):
            return False
        if self.dynamic is not None and is_dynamic(str(value)) != self.dynamic:
            return False
        if self.at_least is not None:
            size = len(streams_of(value)) if isinstance(value, str) else value
            return bool(size >= self.at_least)
        return True


@dataclass(frozen=True)
class Parameter:
    """One parameter of a search space.

    Attributes:
        name: Recipe path, such as `network.streams.left.width`.
        distribution: Optuna distribution.
        default: Value in baselines that do not give one.
        when: Conditions; the parameter exists in a trial only if all of them hold.
    """

    name: str
    distribution: BaseDistribution
    default: Any
    when: tuple[Condition, ...] = field(default=())

    def draw(self, trial: BaseTrial) -> Any:
        """Returns the value that `trial` draws."""
        drawn = self.distribution
        if isinstance(drawn, CategoricalDistribution):
            return trial.suggest_categorical(self.name, drawn.choices)
        if isinstance(drawn, IntDistribution):
            return trial.suggest_int(self.name, drawn.low, drawn.high, step=drawn.step, log=drawn.log)
        assert isinstance(drawn, FloatDistribution)
        return trial.suggest_float(self.name, drawn.low, drawn.high, step=drawn.step, log=drawn.log)

    def exists(self, values: Mapping[str, Any]) -> bool:
        """Returns whether the parameter exists, given the `values` of the others."""
        return all(condition.holds(values) for condition in self.when)

    def allows(self, value: Any) -> bool:
        """Returns whether the distribution contains `value`."""
        if isinstance(self.distribution, CategoricalDistribution):
            return value in self.distribution.choices
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if isinstance(self.distribution, IntDistribution) and not isinstance(value, int):
            return False
        assert isinstance(self.distribution, IntDistribution | FloatDistribution)
        return contains(self.distribution, float(value))


def order(parameters: list[Parameter]) -> tuple[list[Parameter], list[str]]:
    """Returns the parameters in an order in which each follows those its conditions name, and the names in a cycle.

    Parameters without a required order keep their own. If there is a cycle, no parameters are returned.
    """
    numbers = {parameter.name: number for number, parameter in enumerate(parameters)}
    sorter = TopologicalSorter(
        {parameter.name: [one.name for one in parameter.when if one.name in numbers] for parameter in parameters}
    )
    try:
        sorter.prepare()
    except CycleError as error:
        return [], error.args[1][::-1]
    placed: list[Parameter] = []
    while sorter.is_active():
        free = sorted(sorter.get_ready(), key=numbers.__getitem__)
        placed += [parameters[numbers[name]] for name in free]
        sorter.done(*free)
    return placed, []


def middle(distribution: BaseDistribution) -> Any:
    """Returns the first choice, or the middle of a range (of its logarithm for a log range).

    >>> middle(IntDistribution(1, 4)), middle(FloatDistribution(0.01, 1.0, log=True))
    (2, 0.1)
    """
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high, step = distribution.low, distribution.high, distribution.step
    value = math.sqrt(low * high) if distribution.log else (low + high) / 2
    if step is not None:
        value = low + step * math.floor((value - low) / step)
    return int(value) if isinstance(distribution, IntDistribution) else value


def integer(low: int, high: int, *, log: bool, step: float | None) -> IntDistribution:
    """Returns the whole numbers from `low` to `high`."""
    return IntDistribution(low, high, log=log, step=int(step or 1))


def real(low: float, high: float, *, log: bool, step: float | None) -> FloatDistribution:
    """Returns the numbers from `low` to `high`."""
    return FloatDistribution(low, high, log=log, step=step)


def set_path(tree: dict[str, Any], path: str, value: Any) -> None:
    """Sets the value at a dotted `path` of nested mappings, which are created where they are missing."""
    *parents, last = path.split(".")
    reduce(lambda node, key: node.setdefault(key, {}), parents, tree)[last] = value
