"""Cells: purely categorical problems of the kind of a tabular space of cells, generated from a seed.

A cell is a directed acyclic graph whose edges carry one of five operations. The error follows from the structure: what
lies on no path from the input to the output has no effect, cut cells are at chance, and depth and width of the paths
help with diminishing returns, as do pairs of operations that fit each other. All coefficients are drawn from the seed
of the problem. The whole space is enumerated, so the best front is known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution

from benchmarks.search.learning_curve import EPOCHS, error_of, noisy_curve
from benchmarks.search.problem import Problem
from nasfuse.search.parameters import Parameter
from nasfuse.seeds import derive_seed

OPERATIONS = ("none", "skip", "pool", "cheap_conv", "costly_conv")
_NONE, _SKIP = 0, 1
_CONVOLUTIONS = (3, 4)

#: How much an operation transforms its input: the unit of depth and width. Those of a problem are spread around these.
_STRENGTH = (0.0, 0.0, 0.3, 0.7, 1.0)

#: Millions of MACs of an operation, and of a network without any.
_MACS = (0.0, 0.0, 0.5, 5.0, 40.0)
_BASE_MACS = 8.0

#: Share of the cells that are better than the error of the reference point.
_REFERENCE_SHARE = 0.5

#: Networks that are evaluated at a time.
_CHUNK = 50_000

Edge = tuple[int, int]
Array = NDArray[np.float64]
Choices = NDArray[np.int64]


@dataclass(frozen=True)
class Kind:
    """Rules of one kind of cells.

    Attributes:
        edges: Edges from a node to a later one; node 0 is the input, the last one the output.
        depth: Weight of the depth of the longest path.
        width: Weight of the sum of strengths over all edges.
        fit: Weight of pairs of operations on adjacent edges, which is a random number per pair.
        pays_for_all: Whether operations that lie on no path cost MACs, too.
    """

    edges: tuple[Edge, ...]
    depth: float
    width: float
    fit: float
    pays_for_all: bool


_FOUR_NODES = tuple(combinations(range(4), 2))

#: Five nodes, without the edges from the input to the output and to the node before it: 390,625 cells.
_FIVE_NODES = tuple(edge for edge in combinations(range(5), 2) if edge not in ((0, 4), (0, 3)))

KINDS = {
    "paths": Kind(_FOUR_NODES, depth=2.2, width=0.6, fit=0.5, pays_for_all=False),
    "widths": Kind(_FOUR_NODES, depth=0.4, width=2.2, fit=0.5, pays_for_all=True),
    "pairs": Kind(_FOUR_NODES, depth=1.0, width=1.0, fit=1.2, pays_for_all=False),
    "five-nodes": Kind(_FIVE_NODES, depth=1.6, width=1.0, fit=0.8, pays_for_all=False),
}


class Cells(Problem):
    """Cells of one kind. The error is that of a classification with ten classes, the cost log10 of millions of MACs."""

    max_epochs = EPOCHS
    log10_unit = 6.0

    def __init__(self, kind: str, *, seed: int) -> None:
        """Draws the coefficients.

        Args:
            kind: One of `KINDS`.
            seed: Seed of the coefficients.
        """
        self.name = f"cells-{kind}-{seed}"
        self.kind = KINDS[kind]
        self.parameters = tuple(
            Parameter(f"cell.edge_{head}_{tail}", CategoricalDistribution(OPERATIONS), default="skip")
            for head, tail in self.kind.edges
        )
        rng = np.random.default_rng(derive_seed(seed, f"cells/{kind}"))
        n_edges, n_operations = len(self.kind.edges), len(OPERATIONS)
        self._strength = np.array(_STRENGTH) * np.exp(0.2 * rng.normal(size=n_operations))
        self._edge_weights = np.exp(0.4 * rng.normal(size=n_edges))
        self._best_depth = rng.uniform(1.4, 2.4)
        self._pairs = [
            (one, other)
            for one, other in combinations(range(n_edges), 2)
            if set(self.kind.edges[one]) & set(self.kind.edges[other])
        ]
        self._fits = rng.normal(size=(len(self._pairs), n_operations, n_operations)) / np.sqrt(len(self._pairs))

    @cached_property
    def best_hypervolume(self) -> float:
        """Hypervolume of all cells."""
        return self.hypervolume(self._points)

    @cached_property
    def reference(self) -> tuple[float, float]:  # type: ignore[override]
        """The median error of all cells, and the cost of the costliest."""
        errors, costs = self._points.T
        return float(np.quantile(errors, _REFERENCE_SHARE)), float(costs.max())

    def cost_of(self, params: Mapping[str, Any]) -> float:
        """Returns log10 of millions of MACs."""
        return float(self._point(params)[1])

    def curve(self, params: Mapping[str, Any], *, seed: int) -> NDArray[np.float64]:
        """Returns the errors of one training; costly cells learn more slowly."""
        error, cost = self._point(params)
        return noisy_curve(float(error), speed=7.0 - 2.0 * float(cost), seed=seed)

    def counted_error(self, params: Mapping[str, Any], *, observed: float) -> float:
        """Returns the mean error over trainings."""
        return float(self._point(params)[0])

    def objectives(self, cells: Choices) -> Array:
        """Returns mean error and cost, shape (n, 2), of `cells` (n, edges), which hold indices of `OPERATIONS`."""
        lives = self._lives(cells)
        strength = np.where(lives, self._strength[cells], 0.0)
        depth = self._longest(lives, strength) / self._best_depth
        width = strength @ self._edge_weights / self._edge_weights.mean()
        fit = sum(
            np.where(lives[:, one] & lives[:, other], self._fits[pair, cells[:, one], cells[:, other]], 0.0)
            for pair, (one, other) in enumerate(self._pairs)
        )
        # Depth beyond the best one harms, the more the fewer edges skip.
        useful = depth * (2 - depth) + 0.3 * np.minimum((lives & (cells == _SKIP)).sum(axis=1), 2) * (depth > 1)
        quality = self.kind.depth * useful + self.kind.width * (1 - np.exp(-width / 2)) + self.kind.fit * fit
        learns = (lives & np.isin(cells, _CONVOLUTIONS)).any(axis=1)
        quality = np.where(learns, np.logaddexp(0.0, 4 * quality) / 4, np.where(lives.any(axis=1), 0.05, 0.0))
        paid = np.ones_like(lives) if self.kind.pays_for_all else lives
        macs = _BASE_MACS + np.where(paid, np.array(_MACS)[cells], 0.0).sum(axis=1)
        return np.column_stack([error_of(quality), np.log10(macs)])

    def _lives(self, cells: Choices) -> NDArray[np.bool_]:
        """Returns which edges (n, edges) lie on a path from the input to the output of operations other than none."""
        n_nodes = self.kind.edges[-1][1] + 1
        present = cells != _NONE
        forward = np.zeros((len(cells), n_nodes), dtype=np.bool_)
        backward = forward.copy()
        forward[:, 0] = backward[:, -1] = True
        by_tail = sorted(enumerate(self.kind.edges), key=lambda one: one[1][1])
        by_head = sorted(enumerate(self.kind.edges), key=lambda one: -one[1][0])
        for index, (head, tail) in by_tail:
            forward[:, tail] |= forward[:, head] & present[:, index]
        for index, (head, tail) in by_head:
            backward[:, head] |= backward[:, tail] & present[:, index]
        heads, tails = np.array(self.kind.edges).T
        return present & forward[:, heads] & backward[:, tails]

    def _longest(self, lives: NDArray[np.bool_], strength: Array) -> Array:
        """Returns the largest sum of strengths (n,) over the edges of a path."""
        longest = np.zeros((len(lives), self.kind.edges[-1][1] + 1))
        for index, (head, tail) in sorted(enumerate(self.kind.edges), key=lambda one: one[1][1]):
            through = longest[:, head] + strength[:, index]
            longest[:, tail] = np.where(lives[:, index], np.maximum(longest[:, tail], through), longest[:, tail])
        return longest[:, -1]

    @cached_property
    def _points(self) -> Array:
        """Objectives of all cells, (5 ** edges, 2); a cell is numbered by its operations as digits, lowest first."""
        numbers = np.arange(len(OPERATIONS) ** len(self.kind.edges))
        chunks = [numbers[start : start + _CHUNK] for start in range(0, len(numbers), _CHUNK)]
        return np.concatenate([self.objectives(chunk[:, None] // self._digits % len(OPERATIONS)) for chunk in chunks])

    @property
    def _digits(self) -> NDArray[np.int64]:
        return len(OPERATIONS) ** np.arange(len(self.kind.edges))

    def _point(self, params: Mapping[str, Any]) -> Array:
        """Returns mean error and cost of a cell, shape (2,)."""
        choices = [OPERATIONS.index(params[one.name]) for one in self.parameters]
        return np.asarray(self._points[int(choices @ self._digits)])
