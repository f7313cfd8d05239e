"""Calibration of a router, which converts its logits to probabilities and its threshold to a price of cost."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

#: Log odds of the lowest and highest threshold at which a router runs; beyond them, all samples take one route.
REACH = 30.0

#: Thresholds at which a calibration has prices. The ends represent thresholds just above 0 and just below 1.
THRESHOLDS = torch.linspace(0, 1, 101, dtype=torch.float64)

#: Log odds of `THRESHOLDS`; prices are interpolated between them.
_LOG_ODDS = torch.logit(THRESHOLDS).clamp(-REACH, REACH).numpy()


class CalibrationStatus(IntEnum):
    """Status of the fit of a calibration."""

    IDENTITY = 0
    FITTED = 1
    LEAST_SCALE = 2
    ONE_BEST_ROUTE = 3

    @property
    def meaning(self) -> str:
        """Returns a description of the status."""
        return {
            CalibrationStatus.IDENTITY: "not calibrated",
            CalibrationStatus.FITTED: "fitted",
            CalibrationStatus.LEAST_SCALE: "a scale is at its lower bound: the router's logit of some route does not "
            "rise with the chance that this route is the best",
            CalibrationStatus.ONE_BEST_ROUTE: "nothing to fit: the same route is the best for every validation sample",
        }[self]


@dataclass(frozen=True)
class Calibration:
    """Calibration of the logits and of the threshold of a router.

    Attributes:
        scale: Scales of the logits, float64 of shape (n_routes,); softmax(scale * logits + offset) are probabilities.
        offset: Offsets of the logits, float64 of shape (n_routes,).
        prices: Price of a unit of relative cost at each of `THRESHOLDS`, not decreasing. At the first price and below,
            all samples take the costliest route, at the last price and above the cheapest, without running the router.
        status: Status of the fit.
    """

    scale: Tensor
    offset: Tensor
    prices: Tensor
    status: CalibrationStatus = CalibrationStatus.IDENTITY

    @classmethod
    def identity(cls, n_routes: int) -> "Calibration":
        """Returns the identity: logits are not changed, and the price is the log odds of the threshold.

        For two routes, the threshold is then the smallest probability of the costly route at which it is taken.
        """
        ones, zeros = (fill(n_routes, dtype=torch.float64) for fill in (torch.ones, torch.zeros))
        return cls(ones, zeros, torch.from_numpy(_LOG_ODDS.copy()))

    def apply(self, gate: Tensor) -> Tensor:
        """Returns the calibrated logits, float64 of shape (n, n_routes)."""
        return gate.double() * self.scale + self.offset

    def state(self) -> dict[str, Tensor]:
        """Returns the calibration as tensors on the CPU."""
        own = self.cpu()
        return {**vars(own), "status": torch.tensor(int(self.status))}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> "Calibration":
        """Returns the calibration of a `state`."""
        return cls(state["scale"], state["offset"], state["prices"], CalibrationStatus(int(state["status"])))

    def cpu(self) -> "Calibration":
        """Returns the calibration with its tensors on the CPU."""
        return Calibration(self.scale.cpu(), self.offset.cpu(), self.prices.cpu(), status=self.status)

    def price_at(self, threshold: float) -> float:
        """Returns the price of a unit of relative cost, see `price_at`."""
        return price_at(threshold, self.prices)


def price_at(threshold: float, prices: Tensor) -> float:
    """Returns the price at `threshold`, which is linear in the log odds of the threshold between `THRESHOLDS`.

    It is -inf if all samples take the costliest route and inf if all take the cheapest: at thresholds 0 and 1, and at
    the ends of the range of `prices`.
    """
    if threshold <= 0 or threshold >= 1:
        return -math.inf if threshold <= 0 else math.inf
    known = prices.cpu().numpy()
    price = float(np.interp(math.log(threshold / (1 - threshold)), _LOG_ODDS, known))
    if price >= known[-1]:
        return math.inf
    return -math.inf if price <= known[0] else price
