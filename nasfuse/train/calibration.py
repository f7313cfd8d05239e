"""Calibration of a router on validation data: a scale and an offset per route, and prices of cost by threshold."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasfuse.nn.routing.calibration import THRESHOLDS, Calibration, CalibrationStatus

Values = NDArray[np.float64]

#: Smallest scale of a route's logits, in units of the inverse of their standard deviation.
_LEAST_SCALE = 0.01

#: Weight of the squared scales, which makes the fit unique if logits of several routes are collinear.
_RIDGE = 1e-6

#: Smallest mean relative cost at threshold 0.5; the largest is 1 minus this value.
_LEAST_NEEDED = 0.1

#: Standard deviation relative to the largest absolute logit below which the logits of a route count as constant.
_CONSTANT = 1e-9


def fit_calibration(gate: Tensor, best: Tensor, relative_costs: Tensor) -> Calibration:
    """Returns the calibration of a router for the samples of a split.

    Probabilities are calibrated by vector scaling (Guo et al., 2017, section 4.2), fitted by maximum likelihood to the
    best route of each sample. For two routes this is the method of Platt (1999) with a scale for each logit. It differs
    from the published method in three points. Targets are smoothed as in Platt's paper: (N_k + 1) / (N_k + n_routes)
    for the best route k and 1 / (N_k + n_routes) for the others, where N_k is the number of samples whose best route is
    k, so the fit is finite even if the gate separates the samples or one route is the best for all. Logits are
    standardised first, so the result does not depend on scale and offset of the logits. Scales have a positive lower
    bound, so a higher logit never makes a route less likely.

    For the prices see `threshold_prices` and `needed_cost`.

    Args:
        gate: Logits of the router, shape (n, n_routes).
        best: Number of the best route of each sample, shape (n,).
        relative_costs: Costs of the routes on a scale from 0 to 1, shape (n_routes,).
    """
    scale, offset, is_bounded = _fit_probabilities(gate.double().numpy(), best.numpy())
    costs = relative_costs.double().numpy()
    status = CalibrationStatus.LEAST_SCALE if is_bounded else CalibrationStatus.FITTED
    if len(torch.unique(best)) == 1:
        status = CalibrationStatus.ONE_BEST_ROUTE
    prices = threshold_prices(gate.double().numpy() * scale + offset, costs, needed=needed_cost(costs, best.numpy()))
    return Calibration(torch.from_numpy(scale), torch.from_numpy(offset), torch.from_numpy(prices), status)


def _fit_probabilities(gate: Values, best: NDArray[np.int64]) -> tuple[Values, Values, bool]:
    """Returns (scale, offset, whether a scale is at its lower bound) for logits that are not standardised."""
    mean, spread = gate.mean(axis=0), gate.std(axis=0)
    varies = spread > _CONSTANT * np.abs(gate).max(axis=0)
    spread = np.where(varies, spread, 1.0)
    scale, offset = _greatest_likelihood(np.where(varies, (gate - mean) / spread, 0.0), _smoothed(best, gate.shape[1]))
    is_bounded = bool((scale[varies] <= _LEAST_SCALE * (1 + 1e-9)).any())
    scale = np.where(varies, scale / spread, 0.0)
    offset = offset - scale * mean
    return scale, offset - offset.mean(), is_bounded


def _smoothed(best: NDArray[np.int64], n_routes: int) -> Values:
    """Returns smoothed targets, shape (n, n_routes); each row is a distribution without zeros."""
    counts = np.bincount(best, minlength=n_routes)[best][:, None]
    targets: Values = (np.eye(n_routes)[best] * counts + 1) / (counts + n_routes)
    return targets


def _greatest_likelihood(standard: Values, targets: Values) -> tuple[Values, Values]:
    """Returns scales and offsets for standardised logits (n, n_routes); the problem is convex."""
    from scipy.optimize import minimize  # slow to import
    from scipy.special import log_softmax

    n_samples, n_routes = standard.shape

    def loss(parameters: Values) -> tuple[float, Values]:
        scale, offset = parameters[:n_routes], parameters[n_routes:]
        logs = log_softmax(standard * scale + offset, axis=1)
        value = -(targets * logs).sum() / n_samples + _RIDGE * (scale**2).sum()
        wrong = (np.exp(logs) - targets) / n_samples
        gradient = np.concatenate([(wrong * standard).sum(axis=0) + 2 * _RIDGE * scale, wrong.sum(axis=0)])
        return float(value), gradient

    start = np.concatenate([np.ones(n_routes), np.zeros(n_routes)])
    bounds = [(_LEAST_SCALE, None)] * n_routes + [(None, None)] * n_routes
    options = {"maxiter": 2000, "maxcor": 4 * n_routes, "ftol": 1e-15, "gtol": 1e-10}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return found.x[:n_routes], found.x[n_routes:]


def needed_cost(costs: Values, best: NDArray[np.int64]) -> float:
    """Returns the mean relative cost of the best routes, which is the mean relative cost at threshold 0.5.

    It is limited to the range from 0.1 to 0.9, unless one route is the best for every sample, because the share of
    rare samples is not known well, and so that both halves of the thresholds cover a part of the costs.

    Args:
        costs: Relative costs of the routes from 0 to 1, shape (n_routes,).
        best: Number of the best route of each sample, shape (n,).
    """
    needed = float(costs[best].mean())
    if len(np.unique(best)) == 1:
        return needed
    return min(max(needed, _LEAST_NEEDED), 1 - _LEAST_NEEDED)


def wanted_costs(needed: float) -> Values:
    """Returns the mean relative cost at each of `THRESHOLDS`: 1 at 0, `needed` at 0.5, 0 at 1, linear in between."""
    costs: Values = np.interp(THRESHOLDS.numpy(), [0.0, 0.5, 1.0], [1.0, needed, 0.0])
    return costs


def threshold_prices(logits: Values, costs: Values, *, needed: float) -> Values:
    """Returns the price of cost at each of `THRESHOLDS`, such that thresholds are shares of cost on these samples.

    The price at a threshold is the one whose mean relative cost is nearest to that of `wanted_costs`. For two routes
    the mean relative cost is the share of samples that take the costly one. If all routes have the same cost, prices
    are the log odds of the thresholds.

    Args:
        logits: Calibrated logits, shape (n, n_routes).
        costs: Relative costs of the routes from 0 to 1, shape (n_routes,).
        needed: Mean relative cost at threshold 0.5, see `needed_cost`.
    """
    if costs.max() == costs.min():
        return Calibration.identity(len(costs)).prices.numpy()
    switches, drops = _switches(logits, costs)
    last_of_equal = np.append(np.diff(switches) > 0, True)
    switches, left = switches[last_of_equal], (1 - drops.cumsum() / len(logits))[last_of_equal]
    # Prices below the first switch, between two of them and above the last one, and the mean relative cost there.
    levels = np.concatenate([[switches[0] - 1], (switches[:-1] + switches[1:]) / 2, [switches[-1] + 1]])
    left = np.concatenate([[1.0], left[:-1], [0.0]])
    prices: Values = levels[_nearest(left, wanted_costs(needed))]
    prices[0], prices[-1] = levels[0], levels[-1]
    return prices


def _nearest(falling: Values, wanted: Values) -> NDArray[np.int64]:
    """Returns the position in `falling` of the value nearest to each of `wanted`; the last of equally near ones."""
    after = np.searchsorted(-falling, -wanted).clip(1, len(falling) - 1)
    before_is_nearer = np.abs(falling[after - 1] - wanted) < np.abs(falling[after] - wanted) - 1e-12
    return np.where(before_is_nearer, after - 1, after)


def _switches(logits: Values, costs: Values) -> tuple[Values, Values]:
    """Returns the increasing prices at which a sample changes to a cheaper route, and the relative cost it saves."""
    rows = np.arange(len(logits))
    current = np.where(costs == costs.max(), logits, -np.inf).argmax(axis=1)
    prices, drops = [], []
    for _ in costs:
        gap = costs[current][:, None] - costs
        with np.errstate(divide="ignore", invalid="ignore"):
            at = np.where(gap > 0, (logits[rows, current][:, None] - logits) / gap, np.inf)
        first = at.min(axis=1, keepdims=True)
        following = np.where(at == first, gap, -np.inf).argmax(axis=1)
        moves = np.isfinite(first[:, 0])
        prices.append(first[moves, 0])
        drops.append(gap[rows, following][moves])
        current = np.where(moves, following, current)
    order = np.argsort(np.concatenate(prices), kind="stable")
    return np.concatenate(prices)[order], np.concatenate(drops)[order]
