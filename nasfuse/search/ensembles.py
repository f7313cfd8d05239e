"""Ensembles of operating points as points of the front."""

import statistics
from dataclasses import dataclass, fields
from typing import Any

from nasfuse.domain.cost import COSTS
from nasfuse.domain.operating_point import OperatingPoint
from nasfuse.search.front import Candidate
from nasfuse.spec.ensemble import summary_of_ensemble


@dataclass(frozen=True)
class Ensemble:
    """An ensemble of operating points.

    Attributes:
        members: Points of single networks.
        metrics: Metric of the ensemble on each division of the data on which all members were trained.
        reported: The same of the metric that is reported beside it; empty if there is none.
    """

    members: tuple[Candidate, ...]
    metrics: tuple[float, ...]
    reported: tuple[float, ...] = ()

    def candidate(self) -> Candidate:
        """Returns the ensemble as a candidate for the front, with costs by `Cost.of_ensemble`."""
        first = self.members[0]
        return Candidate(
            trial=first.trial,
            point=first.point,
            measured=self._measured(),
            summary=summary_of_ensemble([member.summary for member in self.members]),
            trainings=first.trainings[: len(self.metrics)],
            metric_sd=statistics.stdev(self.metrics) if len(self.metrics) > 1 else None,
            members=self.members,
        )

    def _measured(self) -> OperatingPoint:
        points = [member.measured for member in self.members]
        own = {field.name for field in fields(OperatingPoint)}
        known = [name for name in COSTS if all(name in own or name in point.costs for point in points)]
        costs: dict[str, Any] = {name: COSTS[name].of_ensemble(point.cost(name) for point in points) for name in known}
        return OperatingPoint(
            metric=statistics.fmean(self.metrics),
            reported_metric=statistics.fmean(self.reported) if self.reported else None,
            latency_iqr_s=sum(point.latency_iqr_s for point in points),
            # the features of a modality are computed once for all members
            outside_macs=max(point.outside_macs for point in points),
            costs={name: costs.pop(name) for name in known if name not in own},
            **costs,
        )
