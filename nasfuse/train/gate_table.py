"""Route table of a network with a learned router."""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from nasfuse.nn.routing.calibration import Calibration
from nasfuse.nn.routing.gate import choose
from nasfuse.train.calibration import fit_calibration
from nasfuse.train.route_table import Routed, RouteTable, entropy

#: Mutual information of sample and route, in nats, below which the router is recorded as static.
_LEAST_INFORMATION = 0.01


@dataclass(frozen=True, kw_only=True)
class GateTable(RouteTable):
    """Routes and router of a network on a split.

    Attributes:
        gate: Uncalibrated logits of the router, shape (n, n_routes).
        relative_costs: Costs of the routes on a scale from 0 to 1, shape (n_routes,).
        calibration: Calibration of the router; the identity if it is not calibrated.
    """

    gate: Tensor
    relative_costs: Tensor
    calibration: Calibration = field(default_factory=lambda: Calibration.identity(1))

    def _chosen(self, threshold: float) -> Tensor:
        """Returns the number of the route of each sample, shape (n,)."""
        logits, price = self.calibration.apply(self.gate), self.calibration.price_at(threshold)
        return choose(logits, self.relative_costs, price=price)

    def _only_route(self, threshold: float) -> int | None:
        """Returns the first or last route if the price is infinite, see `RouteTable`."""
        price = self.calibration.price_at(threshold)
        if not math.isinf(price):
            return None
        return len(self.names) - 1 if price < 0 else 0

    @property
    def is_finite(self) -> bool:
        """Whether all numbers of the table are finite."""
        return bool(torch.isfinite(self.digests).all() and torch.isfinite(self.gate).all())

    def rows(self, rows: Tensor) -> "GateTable":
        """Returns the table of the samples `rows` (k,)."""
        return replace(self, gate=self.gate[rows], **self._of_rows(rows))

    def calibrated(self) -> "GateTable":
        """Returns the table with the calibration that is fitted to its best routes, see `fit_calibration`."""
        return replace(self, calibration=fit_calibration(self.gate, self.best_routes(), self.relative_costs))

    def record(self, routed: Routed) -> dict[str, Any]:
        """Returns statistics of the router at a threshold for the record of a trial, in which a collapse is visible.

        In addition to those of `usage_record`: `decisiveness`, the mean entropy of the uncalibrated gate of a sample (0
        is certain); `information`, the entropy of the mean gate minus `decisiveness`, the mutual information of sample
        and route (the router is recorded as static if it is too small); `calibrated`, the mean calibrated
        probability that a route is the best; and `calibration`, the status of the calibration.
        """
        gate = F.softmax(self.gate.double(), dim=1)
        mean_entropy = float(entropy(gate).mean())
        information = float(entropy(gate.mean(dim=0))) - mean_entropy
        return {
            **self.usage_record(routed, is_static=information < _LEAST_INFORMATION),
            "decisiveness": round(mean_entropy, 4),
            "information": round(information, 4),
            "calibrated": self.by_route(F.softmax(self.calibration.apply(self.gate), dim=1).mean(dim=0)),
            "calibration": self.calibration.status.meaning,
        }
