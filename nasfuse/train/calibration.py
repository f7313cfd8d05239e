"""Calibrating a router on validation data: a scale and an offset per route, and what its threshold means."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax
from torch import Tensor

from nasfuse.nn.routing.calibration import THRESHOLDS, Calibration, CalibrationStatus

Values = NDArray[np.float64]

#: Least scale of a route's logits, in units of one over their standard deviation.
_LEAST_SCALE = 0.01

#: Weight of the squared scales: makes the fit unique where logits of several routes are collinear.
_RIDGE = 1e-6

#: Least mean relative cost, and least distance from 1, that threshold 0.5 stands for.
_LEAST_NEEDED = 0.1

#: Standard deviation, over the largest absolute logit, below which the logits of a route are taken for a constant.
_CONSTANT = 1e-9


def fit_calibration(gate: Tensor, best: Tensor, relative_costs: Tensor) -> Calibration:
    """Returns the calibration of a router for the samples of a split.

    Probabilities: vector scaling (Guo et al., 2017, section 4.2), fitted by maximum likelihood to the best route of
    each sample. For two routes it is the method of Platt (1999) with a scale for each logit. What differs: targets are
    smoothed as in Platt's paper, (N_k + 1) / (N_k + n_routes) for the best route k and 1 / (N_k + n_routes) for the
    others, where N_k samples have k as their best, so the fit is finite where the gate separates the samples or one
    route is the best for all; logits are standardised first, so no scale or offset of a route's logits changes the
    result; scales have a lower bound, so a route never becomes less likely by a higher logit.

    Prices: see `threshold_prices` and `needed_cost`.

    Args:
        gate: (n, n_routes) logits.
        best: (n,) number of each sample's best route.
        relative_costs: (n_routes,) from 0 to 1.
    """
    scale, offset, is_bounded = _fit_probabilities(gate.double().numpy(), best.numpy())
    costs = relative_costs.double().numpy()
    status = CalibrationStatus.LEAST_SCALE if is_bounded else CalibrationStatus.FITTED
    if len(torch.unique(best)) == 1:
        status = CalibrationStatus.ONE_BEST_ROUTE
    prices = threshold_prices(gate.double().numpy() * scale + offset, costs, needed=needed_cost(costs, best.numpy()))
    return Calibration(torch.from_numpy(scale), torch.from_numpy(offset), torch.from_numpy(prices), status)


def _fit_probabilities(gate: Values, best: NDArray[np.int64]) -> tuple[Values, Values, bool]:
    """Returns (scale, offset, whether a scale is at its lower bound) for logits as they are."""
    mean, spread = gate.mean(axis=0), gate.std(axis=0)
    varies = spread > _CONSTANT * np.abs(gate).max(axis=0)
    spread = np.where(varies, spread, 1.0)
    scale, offset = _greatest_likelihood(np.where(varies, (gate - mean) / spread, 0.0), _smoothed(best, gate.shape[1]))
    is_bounded = bool((scale[varies] <= _LEAST_SCALE * (1 + 1e-9)).any())
    scale = np.where(varies, scale / spread, 0.0)
    offset = offset - scale * mean
    return scale, offset - offset.mean(), is_bounded


def _smoothed(best: NDArray[np.int64], n_routes: int) -> Values:
    """Returns (n, n_routes) targets, each row a distribution without zeros."""
    counts = np.bincount(best, minlength=n_routes)[best][:, None]
    targets: Values = (np.eye(n_routes)[best] * counts + 1) / (counts + n_routes)
    return targets


def _greatest_likelihood(standard: Values, targets: Values) -> tuple[Values, Values]:
    """Returns scales and offsets for standardised logits (n, n_routes); the problem is convex."""
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
    """Returns the mean relative cost of the best routes, which threshold 0.5 stands for.

    At least 0.1 and at most 0.9, unless one route is the best for every sample: of few samples that need the costly
    route not even the share is known well, and neither half of the thresholds may stand for next to nothing.

    Args:
        costs: (n_routes,) relative costs from 0 to 1.
        best: (n,) number of each sample's best route.
    """
    needed = float(costs[best].mean())
    if len(np.unique(best)) == 1:
        return needed
    return min(max(needed, _LEAST_NEEDED), 1 - _LEAST_NEEDED)


def wanted_costs(needed: float) -> Values:
    """Returns the mean relative cost that each of `THRESHOLDS` stands for: 1 at 0, `needed` at 0.5, 0 at 1, linear."""
    costs: Values = np.interp(THRESHOLDS.numpy(), [0.0, 0.5, 1.0], [1.0, needed, 0.0])
    return costs


def threshold_prices(logits: Values, costs: Values, *, needed: float) -> Values:
    """Returns the price of cost at each of `THRESHOLDS`, such that thresholds are shares of cost on these samples.

    The price of a threshold is the one whose mean relative cost is nearest to what the threshold stands for, see
    `wanted_costs`. Between two routes the mean relative cost
    is the share of samples that take the costly one. Where all routes cost the same, prices are the log odds of the
    thresholds.

    Args:
        logits: (n, n_routes), calibrated.
        costs: (n_routes,) relative costs from 0 to 1.
        needed: Mean relative cost of the samples' best routes.
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
    """Returns the positions in `falling` of what is nearest to each of `wanted`; of equally near ones the last."""
    after = np.searchsorted(-falling, -wanted).clip(1, len(falling) - 1)
    before_is_nearer = np.abs(falling[after - 1] - wanted) < np.abs(falling[after] - wanted) - 1e-12
    return np.where(before_is_nearer, after - 1, after)


def _switches(logits: Values, costs: Values) -> tuple[Values, Values]:
    """Returns the prices at which some sample changes to a cheaper route, in order, and how much cheaper it is."""
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
