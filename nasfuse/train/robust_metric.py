"""The metric of operating points where the modality is missing without which a network is worst."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from nasfuse.domain.metric import METRICS
from nasfuse.domain.operating_point import OperatingPoint
from nasfuse.nn.network import Network
from nasfuse.train.point_metric import MetricAt


def with_robust_metric(
    points: Sequence[OperatingPoint],
    network: Network,
    modalities: Iterable[str],
    *,
    metric: str,
    metric_at: MetricAt,
) -> tuple[OperatingPoint, ...]:
    """Returns the operating points with their `robust_metric`, where they hold.

    Args:
        points: Operating points of `network`.
        network: The network, or that of the first fold. Without a modality that it does not read, the metric is that of
            the point.
        modalities: Names of the modalities of the data.
        metric: Name of the metric.
        metric_at: That metric on validation data that lack a modality.
    """
    sign = METRICS[metric].sign
    is_read = {name: name in network.stream_names for name in modalities}

    def worst(point: OperatingPoint) -> float:
        values = [metric_at(point.settings, name) if read else point.metric for name, read in is_read.items()]
        return max(values, key=lambda value: sign * value)

    return tuple(replace(point, robust_metric=worst(point)) if point.holds else point for point in points)
