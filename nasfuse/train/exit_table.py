"""Route table of a sequential network, which runs routes in turn until one is confident enough."""

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from nasfuse.nn.routing.exits import ExitCalibration, first_sure
from nasfuse.tasks import task_kind
from nasfuse.train.exits import fit_levels, fit_temperatures
from nasfuse.train.route_table import Routed, RouteTable


@dataclass(frozen=True, kw_only=True)
class ExitTable(RouteTable):
    """Routes of a sequential network on a split.

    Attributes:
        calibration: Calibration of the exits.
    """

    calibration: ExitCalibration

    def _chosen(self, threshold: float) -> Tensor:
        """Returns the number of the route at which each sample stops, shape (n,)."""
        confidences = self.calibration.confidences(self.digests, task_kind(self.task.kind))
        return first_sure(confidences, self.calibration.levels_at(threshold))

    def _only_route(self, threshold: float) -> int | None:
        """Returns the last route at threshold 0 and the first at 1, see `RouteTable`."""
        if 0 < threshold < 1:
            return None
        return 0 if threshold >= 1 else len(self.names) - 1

    def rows(self, rows: Tensor) -> "ExitTable":
        """Returns the table of the samples `rows` (k,)."""
        return replace(self, **self._of_rows(rows))

    def calibrated(self) -> "ExitTable":
        """Returns the table with temperatures and levels fitted to its samples, see `nasfuse.train.exits`."""
        kind = task_kind(self.task.kind)
        temperatures = fit_temperatures(self.digests, self.targets, kind)
        confidences = replace(self.calibration, temperatures=temperatures).confidences(self.digests, kind)
        levels = fit_levels(
            confidences.numpy(), self.errors().numpy(), self.macs.double().numpy(), best=self.best_routes().numpy()
        )
        return replace(self, calibration=ExitCalibration(temperatures, levels))

    def record(self, routed: Routed) -> dict[str, Any]:
        """Returns the statistics of `usage_record`, and the `levels` and `temperatures` of the exits by route."""
        exits = {
            "levels": self.calibration.levels_at(routed.threshold),
            "temperatures": self.calibration.temperatures,
        }
        values = {
            key: {name: round(value, 6) for name, value in zip(self.names, column.tolist(), strict=False)}
            for key, column in exits.items()
        }
        return {**self.usage_record(routed), **(values if routed.static is None else {})}
