"""Thresholds that are tested to lose little, with a confidence (Learn then Test, Angelopoulos et al., 2021)."""

import math
from dataclasses import replace
from typing import TypeVar

import torch
from scipy.stats import binom
from torch import Tensor

from nasfuse.nn.routing.calibration import THRESHOLDS
from nasfuse.spec.routing import GuaranteeConfig
from nasfuse.train.route_table import RouteTable

Table = TypeVar("Table", bound=RouteTable)


def with_guarantee(table: Table, guarantee: GuaranteeConfig, *, seed: int) -> tuple[Table, float]:
    """Returns the table of validation data with its calibration, and the threshold that keeps the guarantee.

    Half of the samples calibrate, the other half test the thresholds in the order of their cost, the costliest first,
    until one fails; the last before it is taken, or 0, the costliest route for all, which loses nothing. The chance
    that its loss on new samples exceeds the limit is at most 1 - confidence (fixed-sequence testing, section 2.3 of
    the paper, with the p-values of `p_value`). Samples count as independent, also where they come in groups.

    Args:
        table: Of validation data.
        guarantee: Limit and confidence.
        seed: Decides the halves.
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
    """Returns (n,): by how much the error of each sample's route exceeds that of the costliest one, 0 to 1.

    Samples on which it is below that of the costliest route count as 0, so the mean is an upper bound of the change
    of the share of errors.
    """
    errors = table.errors()
    own = errors.gather(1, table.chosen(threshold)[:, None])[:, 0]
    return (own - errors[:, -1]).clamp(0, 1)


def p_value(values: Tensor, *, limit: float) -> float:
    """Returns an upper bound of the chance of so low a mean if the true mean were above `limit`.

    Exact for values of 0 and 1 (binomial); otherwise that of Hoeffding and Bentkus (section 2.1 of the paper).
    """
    n, mean = len(values), float(values.double().mean())
    if bool(((values == 0) | (values == 1)).all()):
        return float(binom.cdf(round(mean * n), n, limit))
    hoeffding = math.exp(-n * _divergence(min(mean, limit), limit))
    return min(hoeffding, math.e * float(binom.cdf(math.ceil(n * mean), n, limit)))


def _divergence(mean: float, limit: float) -> float:
    """Returns the Kullback-Leibler divergence of two coins."""
    return sum(one * math.log(one / other) for one, other in ((mean, limit), (1 - mean, 1 - limit)) if one > 0)
