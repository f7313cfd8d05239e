"""Calibration of the exits of a sequential network on validation data: temperatures and confidence levels."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasfuse.pareto import non_dominated
from nasfuse.tasks.base import TaskKind
from nasfuse.train.calibration import needed_cost, wanted_costs

Values = NDArray[np.float64]

#: Maximum number of combinations of levels that are compared.
_N_SETTINGS = 16_000

#: Maximum and minimum number of levels per exit.
_MOST_LEVELS, _LEAST_LEVELS = 65, 3

#: Largest temperature; the smallest is its inverse.
_HOTTEST = 20.0


def fit_temperatures(digests: Tensor, targets: Tensor, task: TaskKind) -> Tensor:
    """Returns the temperatures that minimise the loss of each route but the last, shape (n_routes - 1,).

    This is temperature scaling (Guo et al., 2017).

    What differs: the n targets are smoothed as if there were one more sample, whose label is unknown. A route that is
    right about every sample would otherwise get the lowest temperature, at which all its confidences are 1.

    Where digests are not the outputs, which are then not there to be rescaled, all temperatures are 1. The levels of
    exits are chosen on the confidences as they are, so that samples stop as well without a scale.

    Args:
        digests: Digests of the outputs of the routes, shape (n, n_routes, m).
        targets: Targets of the samples.
        task: Kind of task, which defines the loss.
    """
    from scipy.optimize import minimize_scalar  # slow to import

    if not task.keeps_outputs:
        return torch.ones(digests.shape[1] - 1, dtype=torch.float64)
    smoothing = 1 / (len(targets) + 1)

    def best(logits: Tensor) -> float:
        found = minimize_scalar(
            lambda log: float(task.loss(logits / math.exp(log), targets, label_smoothing=smoothing)),
            bounds=(-math.log(_HOTTEST), math.log(_HOTTEST)),
            method="bounded",
        )
        return math.exp(found.x)

    exits = digests[:, :-1].double()
    return torch.tensor([best(exits[:, number]) for number in range(exits.shape[1])], dtype=torch.float64)


def fit_levels(confidences: Values, errors: Values, macs: Values, *, best: NDArray[np.int64]) -> Tensor:
    """Returns the levels of the exits at each of `THRESHOLDS`, shape (101, n_routes - 1), see `ExitCalibration`.

    Levels are quantiles of the confidences. The function searches the paths from "no sample stops early" to "every
    sample stops at the first exit" along which no level increases, and chooses the path with the smallest area under
    the curve of error against cost. Of the settings on this path, the non-dominated ones are kept. Decreasing levels
    agree with the optimal rule, for which the value of continuing decreases at every exit as the price of cost
    increases. They also guarantee that no sample costs more at a higher threshold, on any data.

    Thresholds are shares of cost as for a learned router, see `wanted_costs`. Between two settings, levels are linear
    in the mean cost.

    Args:
        confidences: Confidences at the exits, shape (n, n_routes - 1).
        errors: Errors of the routes, shape (n, n_routes).
        macs: Multiply-accumulates of a sample that stops at each route, shape (n, n_routes), which do not decrease from
            route to route.
        best: Number of the best route of each sample, shape (n,).
    """
    n_exits = confidences.shape[1]
    n_levels = min(max(int(_N_SETTINGS ** (1 / n_exits)), _LEAST_LEVELS), _MOST_LEVELS)
    grids = [_grid(column, n_levels) for column in confidences.T]
    pairs = zip(grids, confidences.T, strict=True)
    reached = [np.searchsorted(grid, column, side="right") - 1 for grid, column in pairs]
    error, cost = (_means(values, reached, [len(grid) for grid in grids]) for values in (errors, macs))
    path = _path_of_least_area(error, cost)
    kept = non_dominated(np.stack([cost[path], error[path]], axis=1))
    kept[[0, -1]] = True
    shares = np.maximum.accumulate(_relative(cost[path][kept], macs))
    levels = [grid[places[kept]] for grid, places in zip(grids, path, strict=True)]
    wanted = wanted_costs(needed_cost(_relative(macs.mean(axis=0), macs), best))
    return torch.from_numpy(np.stack([np.interp(wanted, shares, column) for column in levels], axis=1))


def _relative(costs: Values, macs: Values) -> Values:
    """Returns costs on a scale from 0 (all samples stop at the first exit) to 1 (all samples run to the end)."""
    first, last = macs[:, 0].mean(), macs[:, -1].mean()
    relative: Values = (costs - first) / max(last - first, 1e-9)
    return relative


def _grid(confidences: Values, n_levels: int) -> Values:
    """Returns increasing levels: one below all confidences, some between them, and one above all of them."""
    known = np.unique(confidences)
    middles = (known[1:] + known[:-1]) / 2
    quantiles = np.quantile(confidences, np.linspace(0, 1, n_levels)[1:-1])
    inner = middles[np.searchsorted(middles, quantiles).clip(max=len(middles) - 1)] if len(middles) else middles
    margin = 1e-6 * max(1.0, float(np.abs(known).max()))
    return np.concatenate([[known[0] - margin], np.unique(inner), [known[-1] + margin]])


def _means(values: Values, reached: Sequence[NDArray[np.int64]], n_levels: Sequence[int]) -> Values:
    """Returns the mean of `values` at every combination of levels, shape `n_levels`.

    Args:
        values: Value of a sample that stops at each route, shape (n, n_routes).
        reached: For each exit, the number of the highest level that a sample reaches, shape (n,).
        n_levels: Number of levels of each exit.
    """
    total = np.zeros(n_levels)
    for route in range(len(n_levels) + 1):
        here = np.zeros(n_levels[: route + 1])
        np.add.at(here, tuple(reached[: route + 1]), values[:, route])
        for axis in range(route):  # exits that are passed have a level above the one reached
            passed = np.cumsum(here, axis=axis).take(range(n_levels[axis] - 1), axis)
            here = np.concatenate([np.zeros_like(here.take([0], axis)), passed], axis)
        if route < len(n_levels):  # the exit where samples stop has at most the level reached
            here = np.flip(np.cumsum(np.flip(here, route), axis=route), route)
        total += here.reshape(*here.shape, *[1] * (len(n_levels) - here.ndim))
    return total / len(values)


def _path_of_least_area(error: Values, cost: Values) -> tuple[NDArray[np.int64], ...]:
    """Returns the numbers of the levels of each exit along the path from the cheapest setting to the costliest."""
    shape = error.shape
    area = np.full(shape, np.inf)
    area.flat[0] = 0.0
    came = np.zeros(shape, dtype=np.int64)
    for place in np.ndindex(*shape):
        for axis in range(len(shape)):
            if place[axis] == 0:
                continue
            before = (*place[:axis], place[axis] - 1, *place[axis + 1 :])
            found = area[before] + (error[before] + error[place]) / 2 * (cost[place] - cost[before])
            if found < area[place]:
                area[place], came[place] = found, axis
    path = [tuple(size - 1 for size in shape)]
    while any(path[-1]):
        last, axis = path[-1], int(came[path[-1]])
        path.append((*last[:axis], last[axis] - 1, *last[axis + 1 :]))
    return tuple(np.array(path[::-1]).T)
