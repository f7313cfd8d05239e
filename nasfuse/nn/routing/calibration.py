"""The calibration of a router: probabilities from its logits, and the price of cost from its threshold."""

import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

#: Log odds of the lowest and highest threshold at which a router runs; beyond, one route is always taken.
REACH = 30.0

#: Thresholds at which a calibration knows its prices. The ends stand for thresholds just above 0 and just below 1.
THRESHOLDS = torch.linspace(0, 1, 101, dtype=torch.float64)

#: Log odds of `THRESHOLDS`; prices are interpolated between them.
_LOG_ODDS = torch.logit(THRESHOLDS).clamp(-REACH, REACH).numpy()


class CalibrationStatus(IntEnum):
    """How a calibration was found."""

    IDENTITY = 0
    FITTED = 1
    LEAST_SCALE = 2
    ONE_BEST_ROUTE = 3

    @property
    def meaning(self) -> str:
        """Returns one sentence for a person."""
        return {
            CalibrationStatus.IDENTITY: "not calibrated",
            CalibrationStatus.FITTED: "fitted",
            CalibrationStatus.LEAST_SCALE: "a scale is at its lower bound: the router's logit of some route does not "
            "rise with the chance that this route is the best",
            CalibrationStatus.ONE_BEST_ROUTE: "nothing to fit: the same route is the best for every validation sample",
        }[self]


@dataclass(frozen=True)
class Calibration:
    """What a threshold and the logits of a router mean.

    Attributes:
        scale: (n_routes,) float64. softmax(scale * logits + offset) are probabilities.
        offset: (n_routes,) float64.
        prices: Of a unit of relative cost, at each of `THRESHOLDS`; never falling. At the first one and below every
            sample takes the costliest route, at the last one and above the cheapest, and the router does not run.
        status: How it was found.
    """

    scale: Tensor
    offset: Tensor
    prices: Tensor
    status: CalibrationStatus = CalibrationStatus.IDENTITY

    @classmethod
    def identity(cls, n_routes: int) -> "Calibration":
        """Returns the calibration of a router that has none: logits as they are, the price is the threshold's log odds.

        Between two routes the threshold is then the probability from which the costly one is taken.
        """
        ones, zeros = (fill(n_routes, dtype=torch.float64) for fill in (torch.ones, torch.zeros))
        return cls(ones, zeros, torch.from_numpy(_LOG_ODDS.copy()))

    def apply(self, gate: Tensor) -> Tensor:
        """Returns the calibrated logits (n, n_routes), in float64."""
        return gate.double() * self.scale + self.offset

    def cpu(self) -> "Calibration":
        """Returns the calibration with its tensors on the CPU."""
        return Calibration(self.scale.cpu(), self.offset.cpu(), self.prices.cpu(), status=self.status)

    def price_at(self, threshold: float) -> float:
        """Returns the price of a unit of relative cost, see `price_at`."""
        return price_at(threshold, self.prices)


def price_at(threshold: float, prices: Tensor) -> float:
    """Returns the price at `threshold`, linear in its log odds between `THRESHOLDS`.

    It is -inf where every sample takes the costliest route and inf where every one takes the cheapest: at thresholds 0
    and 1, and where the price leaves the range of `prices`.
    """
    if threshold <= 0 or threshold >= 1:
        return -math.inf if threshold <= 0 else math.inf
    known = prices.cpu().numpy()
    price = float(np.interp(math.log(threshold / (1 - threshold)), _LOG_ODDS, known))
    if price >= known[-1]:
        return math.inf
    return -math.inf if price <= known[0] else price
