"""A metric of operating points beside the one that they are selected by."""

from collections.abc import Sequence
from dataclasses import replace

from nasfuse.domain.operating_point import OperatingPoint
from nasfuse.train.point_metric import MetricAt


def with_reported_metric(points: Sequence[OperatingPoint], metric_at: MetricAt) -> tuple[OperatingPoint, ...]:
    """Returns the operating points with their `reported_metric`, where they hold.

    Args:
        points: Operating points.
        metric_at: Metric on validation data at the settings of a point.
    """
    return tuple(
        replace(point, reported_metric=metric_at(point.settings, None)) if point.holds else point for point in points
    )
