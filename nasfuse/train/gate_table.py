"""The table of a network with a router."""

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

#: Nats that a sample must tell about its route, on average, for the router not to be called static.
_LEAST_INFORMATION = 0.01


@dataclass(frozen=True, kw_only=True)
class GateTable(RouteTable):
    """Routes and router of one network on one split.

    Attributes:
        gate: (n, n_routes) logits of the router, not calibrated.
        relative_costs: (n_routes,) from 0 to 1.
        calibration: Of the router; without one, logits and thresholds are as they are.
    """

    gate: Tensor
    relative_costs: Tensor
    calibration: Calibration = field(default_factory=lambda: Calibration.identity(1))

    def chosen(self, threshold: float) -> Tensor:
        """Returns the (n,) route of each sample."""
        logits, price = self.calibration.apply(self.gate), self.calibration.price_at(threshold)
        return choose(logits, self.relative_costs, price=price)

    def only_route(self, threshold: float) -> int | None:
        """Returns the first or last route where the price is infinite, see `RouteTable`."""
        price = self.calibration.price_at(threshold)
        if not math.isinf(price):
            return None
        return len(self.names) - 1 if price < 0 else 0

    @property
    def is_finite(self) -> bool:
        """Whether all numbers of the table are."""
        return bool(torch.isfinite(self.outputs).all() and torch.isfinite(self.gate).all())

    def rows(self, rows: Tensor) -> "GateTable":
        """Returns the table of the samples `rows` (k,)."""
        return replace(self, gate=self.gate[rows], **self._of_rows(rows))

    def calibrated(self) -> "GateTable":
        """Returns the table with the calibration that is fitted to its best routes, see `fit_calibration`."""
        return replace(self, calibration=fit_calibration(self.gate, self.best_routes(), self.relative_costs))

    def record(self, routed: Routed) -> dict[str, Any]:
        """Returns how the router behaves at a setting, for the trial's record: collapse must be visible.

        Beside `usage_record`: `decisiveness` (mean entropy of a sample's uncalibrated gate, 0 is sure), `information`
        (entropy of the mean gate minus that: what a sample tells about its route; with too little of it the router is
        static), `calibrated` (mean calibrated probability that a route is the best) and `calibration`, how the fit of
        that to `best` ended.
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
