"""Thresholds with a statistical guarantee on the increase of the error (Learn then Test, Angelopoulos et al., 2021)."""

import math
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from nasfuse.nn.routing.calibration import THRESHOLDS
from nasfuse.spec.routing import GuaranteeConfig
from nasfuse.train.route_table import RouteTable

Table = TypeVar("Table", bound=RouteTable)


def with_guarantee(table: Table, guarantee: GuaranteeConfig, *, seed: int) -> tuple[Table, float]:
    """Returns the calibrated table of validation data and the cheapest threshold that satisfies the guarantee.

    One half of the samples is used for the calibration, the other half to test thresholds in decreasing order of their
    cost until one fails. The last threshold that passed is returned; without one it is 0, the costliest route for all
    samples, which has no loss. The probability that its loss on new samples exceeds the limit is at most
    1 - confidence (fixed-sequence testing, section 2.3 of the paper, with the p-values of `p_value`). Samples are
    assumed to be independent, also if they have groups.

    Args:
        table: Table of validation data.
        guarantee: Limit and confidence.
        seed: Seed of the division into halves.
    """
    order = torch.randperm(len(table.targets), generator=torch.Generator().manual_seed(seed))
    calibrating, testing = order[: len(order) // 2], order[len(order) // 2 :]
    calibrated = replace(table, calibration=table.rows(calibrating).calibrated().calibration)
    held_out = calibrated.rows(testing)
    found = 0.0
    for threshold in THRESHOLDS[1:].tolist():
        if p_value(losses(held_out, threshold), limit=guarantee.max_loss) > 1 - guarantee.confidence:
            break
        found = threshold
    return calibrated, found


def losses(table: RouteTable, threshold: float) -> Tensor:
    """Returns the excess error of the chosen route over that of the costliest route, from 0 to 1, shape (n,).

    Samples whose chosen route has the smaller error count as 0, so the mean is an upper bound of the increase of the
    mean error.
    """
    errors = table.errors()
    own = errors.gather(1, table.chosen(threshold)[:, None])[:, 0]
    return (own - errors[:, -1]).clamp(0, 1)


def p_value(values: Tensor, *, limit: float) -> float:
    """Returns the p-value of the hypothesis that the true mean is above `limit`.

    It is exact for values of 0 and 1 (binomial), and the bound of Hoeffding and Bentkus otherwise (section 2.1 of the
    paper).
    """
    from scipy.stats import binom  # slow to import

    n, mean = len(values), float(values.double().mean())
    if bool(((values == 0) | (values == 1)).all()):
        return float(binom.cdf(round(mean * n), n, limit))
    hoeffding = math.exp(-n * _divergence(min(mean, limit), limit))
    return min(hoeffding, math.e * float(binom.cdf(math.ceil(n * mean), n, limit)))


def _divergence(mean: float, limit: float) -> float:
    """Returns the Kullback-Leibler divergence of two Bernoulli distributions."""
    return sum(one * math.log(one / other) for one, other in ((mean, limit), (1 - mean, 1 - limit)) if one > 0)
