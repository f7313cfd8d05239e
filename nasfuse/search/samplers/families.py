"""Families of networks, each of which is tried before any is tried again: kinds of encoder, reducer, fusion, router."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution

from nasfuse.domain.route import is_dynamic
from nasfuse.search.parameters import ROUTE
from nasfuse.search.samplers.domain import Array, Domain
from nasfuse.search.streams import WILDCARD, stream_of

#: Suggestions of every family before the choice of families is free, and of one with at least `MANY_PARAMETERS` ordered
#: parameters of its own.
LEAST_TRIALS = 2
LEAST_TRIALS_OF_MANY = 3
MANY_PARAMETERS = 2

#: Ends of the paths whose values are families.
_KINDS = (".encoder", ".kind")

_STATIC = "static networks"


@dataclass(frozen=True)
class _Membership:
    """Values of one column that put a row into a family.

    Attributes:
        column: Index of the column.
        values: Values in Optuna's internal representation.
        unless: Index and value of a column that excludes a row: a reducer that keeps all tokens is none.
    """

    column: int
    values: tuple[float, ...]
    unless: tuple[int, float] | None = None

    def holds(self, rows: Array) -> NDArray[np.bool_]:
        inside: NDArray[np.bool_] = np.isin(rows[:, self.column], self.values)
        if self.unless is None:
            return inside
        column, value = self.unless
        return np.asarray(inside & (rows[:, column] != value))


class Families:
    """Families of a domain, in groups of alternatives such as the kinds of fusion.

    The groups are the kinds of encoder, of reducer, of fusion and of router; networks without a router are a family of
    the last group. A kind is one family for all streams. Only fields that are drawn have families.

    Attributes:
        names: Names of the families.
    """

    def __init__(self, domain: Domain) -> None:
        """Finds the families of `domain`."""
        found: dict[tuple[str, str], list[_Membership]] = {}
        index = {column.name: position for position, column in enumerate(domain.columns)}
        for position, column in enumerate(domain.columns):
            if not isinstance(column.distribution, CategoricalDistribution):
                continue
            choices = column.distribution.choices
            if column.name == ROUTE:
                static = tuple(float(i) for i, word in enumerate(choices) if not is_dynamic(str(word)))
                if 0 < len(static) < len(choices):
                    found.setdefault(("network.router.kind", _STATIC), []).append(_Membership(position, static))
            elif column.name.endswith(_KINDS):
                path = without_stream(column.name)
                unless = _of_all_tokens(column.name, domain, index)
                for level, choice in enumerate(choices):
                    member = _Membership(position, (float(level),), unless)
                    found.setdefault((path, str(choice)), []).append(member)
        groups = [group for group, _ in found]
        self.names = [f"{group} {choice}" for group, choice in found]
        self._memberships = list(found.values())
        self._least = np.array([_least_trials(path, choice, domain) for path, choice in found], dtype=np.int64)
        self._groups = np.array([groups.index(group) for group in groups], dtype=np.int64)

    @property
    def columns(self) -> list[int]:
        """Indices of the columns of the domain whose values decide to which families a row belongs."""
        return sorted({one.column for members in self._memberships for one in members})

    def of(self, rows: Array) -> NDArray[np.bool_]:
        """Returns which of `rows` (n, p) belong to which family, shape (n, number of families)."""
        columns = [np.any([one.holds(rows) for one in members], axis=0) for members in self._memberships]
        return np.column_stack(columns) if columns else np.zeros((len(rows), 0), dtype=np.bool_)

    def needs(self, tried: Array, *, possible: NDArray[np.bool_]) -> Array:
        """Returns how much each family should be tried next, shape (number of families,); 0 once it need not be.

        In every group, the families with the fewest suggestions are due until all have the least number. A group counts
        as many times as suggestions of its families are missing, so that those of a large group, of which a network has
        a single one, are not left to the end.

        Args:
            tried: Rows (n, p) of the suggestions so far, running ones included.
            possible: Shape (number of families,), whether a network of the family can be trained; others are not due.
        """
        counts = self.of(tried).sum(axis=0)
        needs = np.zeros(len(self.names))
        for group in np.unique(self._groups):
            members = (self._groups == group) & possible
            missing = np.where(members, np.maximum(self._least - counts, 0), 0)
            if missing.any():
                due = (missing > 0) & (counts == counts[missing > 0].min())
                needs[due] = missing.sum()
        return needs


def without_stream(path: str) -> str:
    """Returns `path` with `*` in the place of a stream's name."""
    stream = stream_of(path)
    return path if stream is None else path.replace(f"network.streams.{stream}.", WILDCARD, 1)


def _least_trials(path: str, choice: str, domain: Domain) -> int:
    """Returns how many suggestions a family has before the choice of families is free."""
    own = {
        without_stream(column.name)
        for column, conditions in zip(domain.columns, domain.conditions, strict=True)
        for condition in conditions
        if column.is_ordinal and without_stream(condition.name) == path and condition.values == (choice,)
    }
    return LEAST_TRIALS_OF_MANY if len(own) >= MANY_PARAMETERS else LEAST_TRIALS


def _of_all_tokens(path: str, domain: Domain, index: dict[str, int]) -> tuple[int, float] | None:
    """Returns column and value of the keep ratio with which the reducer at `path` keeps all tokens, if it is drawn."""
    ratio = f"{path.removesuffix('.kind')}.keep_ratio"
    if not path.endswith(".reducer.kind") or ratio not in index:
        return None
    column = domain.columns[index[ratio]]
    try:
        return index[ratio], float(column.distribution.to_internal_repr(1.0))
    except ValueError:
        return None
