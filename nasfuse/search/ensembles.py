"""Ensembles of operating points as points of the front."""

import statistics
from collections.abc import Sequence
from dataclasses import fields, replace

from nasfuse.domain.cost import COSTS
from nasfuse.domain.operating_point import OperatingPoint
from nasfuse.search.front import Candidate
from nasfuse.spec.ensemble import summary_of_ensemble


def ensemble_candidate(members: Sequence[Candidate], metrics: Sequence[float]) -> Candidate:
    """Returns the point of an ensemble.

    Args:
        members: Its networks.
        metrics: Metric of the ensemble on each division of the data on which all members were trained.
    """
    first = members[0]
    return Candidate(
        trial=first.trial,
        point=first.point,
        measured=_measured([member.measured for member in members], statistics.fmean(metrics)),
        summary=summary_of_ensemble([member.summary for member in members]),
        trainings=first.trainings[: len(metrics)],
        metric_sd=statistics.stdev(metrics) if len(metrics) > 1 else None,
        members=tuple(members),
    )


def _measured(points: Sequence[OperatingPoint], metric: float) -> OperatingPoint:
    costs = {
        name: cost.of_ensemble(point.cost(name) for point in points)
        for name, cost in COSTS.items()
        if all(hasattr(point, name) or name in point.costs for point in points)
    }
    own = {field.name for field in fields(OperatingPoint)} & costs.keys()
    return replace(
        points[0],
        metric=metric,
        latency_iqr_s=sum(point.latency_iqr_s for point in points),
        knobs={},
        costs={name: value for name, value in costs.items() if name not in own},
        **{name: costs[name] for name in own},
    )
