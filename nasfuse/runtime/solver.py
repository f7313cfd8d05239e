"""Fixed points by numpy, with the solvers and the stopping rule of the training; each sample stops on its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

#: f(z, rows): the map on the samples `rows` of the batch (None: all).
Map = Callable[[Array, Array | None], Array]


@dataclass
class Solution:
    """Result of a solve.

    Attributes:
        z: (rows, d) the last f(z) of converged states, the iterate of least residual of the others.
        n_steps: (rows,) numbers of evaluations of f.
    """

    z: Array
    n_steps: NDArray[np.int64]


def solve(
    function: Map, start: Array, *, n_states: int, solver: Mapping[str, Any], rule: Mapping[str, Any]
) -> Solution:
    """Returns the fixed points of `function`.

    Args:
        function: The map.
        start: First iterates, (n_states b, d): the first states of all samples, then their second states, and so on.
        n_states: Number of states of a sample. A sample leaves the batch when all its states have ended.
        solver: Entry `solver` of the manifest.
        rule: Entry `rule` of the manifest.
    """
    found = Solution(start.copy(), np.zeros(len(start), np.int64))
    if not len(start):
        return found
    watch = _Watch(found, rule)
    memory = _MEMORIES[solver["kind"]](start, **{key: value for key, value in solver.items() if key != "kind"})
    z, rows = start, None
    for step in range(rule["max_steps"]):
        image = function(z, rows)
        change = image - z
        alive = watch.judge(image, change)
        if step + 1 == rule["max_steps"] or not alive.any():
            break
        z = memory.advance(image, change)
        stays = alive.reshape(n_states, -1).any(axis=0)
        if not stays.all():
            kept = np.flatnonzero(np.tile(stays, n_states))
            z = z[kept]
            memory.keep(kept)
            rows = watch.keep(kept)
    return found


class _Watch:
    """Residuals of the states that are still in the batch."""

    def __init__(self, found: Solution, rule: Mapping[str, Any]) -> None:
        self.found, self.rule = found, rule
        n_rows = len(found.z)
        self.numbers = np.arange(n_rows)
        self.alive = np.ones(n_rows, bool)
        self.best: Array = np.full(n_rows, np.inf, np.float32)
        self.since_best = np.zeros(n_rows, np.int64)
        self.first_change: Array = self.best
        self.largest: Array = self.best
        self.is_first = True

    def judge(self, image: Array, change: Array) -> NDArray[np.bool_]:
        """Stores what f(z) and f(z) - z tell of each state, and returns which states go on."""
        with np.errstate(over="ignore", invalid="ignore"):
            distance, size = _norms(change), _norms(image)
            relative = distance / np.maximum(size, np.finfo(size.dtype).tiny)
            if self.is_first:
                self.largest = (1 + size) * size.dtype.type(self.rule["bound"])
                halved = self.alive
            else:
                halved = distance <= self.first_change
            sound = (size <= self.largest) & (size < np.inf)
            good = self.alive & sound
            converged = good & (relative < self.rule["tolerance"]) & halved
            better = good & (relative < self.best)
        if self.is_first:
            self.first_change, self.is_first = 0.5 * distance, False
        kept = better | converged
        self.found.z[self.numbers[kept]] = image[kept]
        self.found.n_steps[self.numbers[self.alive]] += 1
        self.best = np.where(better, relative, self.best)
        ended = converged | (self.alive & ~sound)
        if self.rule["patience"] < self.rule["max_steps"]:
            self.since_best = np.where(better, 0, self.since_best + 1)
            ended |= self.alive & (self.since_best >= self.rule["patience"])
        self.alive = self.alive & ~ended
        return self.alive

    def keep(self, rows: Array) -> Array:
        """Removes all states except `rows`, and returns the numbers of those that are left."""
        for name in ("numbers", "alive", "best", "since_best", "first_change", "largest"):
            setattr(self, name, getattr(self, name)[rows])
        return self.numbers


def _norms(values: Array) -> Array:
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", values, values)))


class _Picard:
    """Damped Picard iteration."""

    def __init__(self, start: Array, *, damping: float) -> None:
        self.left = start.dtype.type(1 - damping)

    def advance(self, image: Array, change: Array) -> Array:
        return image if self.left == 0 else image - self.left * change

    def keep(self, rows: Array) -> None:
        pass


class _Anderson:
    """Anderson acceleration, type II (Walker & Ni, 2011), as `nasfuse.nn.equilibrium.solvers.Anderson` has it."""

    def __init__(self, start: Array, *, memory: int, regularisation: float, mixing: float) -> None:
        self.memory, self.mixing = memory, start.dtype.type(mixing)
        self.least = start.dtype.type(max(regularisation, 10 * np.finfo(start.dtype).eps))
        self.images: list[Array] = []
        self.changes: list[Array] = []
        self.gram = np.zeros((len(start), memory, memory), start.dtype)
        self.count = 0

    def advance(self, image: Array, change: Array) -> Array:
        slot = self.count % self.memory
        self.count += 1
        _put(self.images, slot, image)
        _put(self.changes, slot, change)
        n = len(self.changes)
        products = _products(self.changes, change)
        self.gram[:, :n, slot] = products
        self.gram[:, slot, :n] = products
        weights = np.ones_like(products) if n == 1 else self._weights(n, slot)
        mixed = _combine(weights, self.images)
        return mixed if self.mixing == 1 else mixed - (1 - self.mixing) * _combine(weights, self.changes)

    def _weights(self, n: int, slot: int) -> Array:
        gram = self.gram[:, :n, :n]
        scale = gram.diagonal(axis1=1, axis2=2).mean(axis=1)[:, None, None]
        system = gram / np.maximum(scale, np.finfo(gram.dtype).tiny) + self.least * np.eye(n, dtype=gram.dtype)
        ones = np.ones((len(system), n, 1), system.dtype)
        with np.errstate(all="ignore"):
            try:
                weights = np.linalg.solve(system, ones)[..., 0]
            except np.linalg.LinAlgError:  # the system of some state is singular
                weights = np.stack([_solved(one) for one in system])
            weights = weights / weights.sum(axis=1, keepdims=True)
            finite = np.isfinite(weights.sum(axis=1, keepdims=True))
        plain = np.eye(n, dtype=gram.dtype)[slot]  # a Picard step where the system is singular
        return np.asarray(np.where(finite, weights, plain))

    def keep(self, rows: Array) -> None:
        self.images, self.changes = [one[rows] for one in self.images], [one[rows] for one in self.changes]
        self.gram = self.gram[rows]


def _solved(system: Array) -> Array:
    """Returns the weights (n,) of one system (n, n); NaN if it is singular."""
    try:
        return np.asarray(np.linalg.solve(system, np.ones(len(system), system.dtype)))
    except np.linalg.LinAlgError:
        return np.full(len(system), np.nan, system.dtype)


class _Broyden:
    """Broyden's good method, as `nasfuse.nn.equilibrium.solvers.Broyden` has it."""

    def __init__(self, start: Array, *, memory: int) -> None:
        self.memory, self.count = memory, 0
        self.left: list[Array] = []
        self.right: list[Array] = []
        self.step: Array | None = None
        self.change: Array | None = None

    def advance(self, image: Array, change: Array) -> Array:
        if self.step is not None and self.change is not None:
            self._update(self.step, change - self.change)
        self.step, self.change = -self._times(change, self.right, self.left), change
        return image - change + self.step

    def _update(self, step: Array, difference: Array) -> None:
        right = self._times(step, self.left, self.right)
        scale = (right * difference).sum(axis=1, keepdims=True)
        with np.errstate(all="ignore"):
            left = (step - self._times(difference, self.right, self.left)) / np.where(scale != 0, scale, 1)
            good = np.isfinite(left.sum(axis=1, keepdims=True)) & (scale != 0)
        slot = self.count % self.memory
        _put(self.left, slot, np.where(good, left, 0).astype(step.dtype))
        _put(self.right, slot, np.where(good, right, 0).astype(step.dtype))
        self.count += 1

    @staticmethod
    def _times(values: Array, inner: list[Array], outer: list[Array]) -> Array:
        """Returns (sum_k outer_k inner_k^T - I) applied to `values` (rows, d)."""
        return _combine(_products(inner, values), outer) - values if inner else -values

    def keep(self, rows: Array) -> None:
        self.left, self.right = [one[rows] for one in self.left], [one[rows] for one in self.right]
        if self.step is not None and self.change is not None:
            self.step, self.change = self.step[rows], self.change[rows]


_MEMORIES: dict[str, Callable[..., Any]] = {"picard": _Picard, "anderson": _Anderson, "broyden": _Broyden}


def _put(history: list[Array], slot: int, value: Array) -> None:
    """Stores `value` at `slot` of a ring that grows until it is full."""
    if slot == len(history):
        history.append(value)
    else:
        history[slot] = value


def _products(vectors: list[Array], other: Array) -> Array:
    """Returns the (rows, n) inner products of n `vectors` (rows, d) with `other` (rows, d)."""
    return np.stack([(vector * other).sum(axis=1) for vector in vectors], axis=1)


def _combine(weights: Array, vectors: list[Array]) -> Array:
    """Returns the sum (rows, d) of n `vectors`, weighted by the columns of `weights` (rows, n)."""
    total = vectors[0] * weights[:, :1]
    for number, vector in enumerate(vectors[1:], start=1):
        total = total + vector * weights[:, number, None]
    return total
