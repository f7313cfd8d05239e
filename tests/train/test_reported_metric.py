"""A metric beside the one that points are selected by."""

from dataclasses import replace

from nasfuse.domain.operating_point import OperatingPoint
from nasfuse.train.reported_metric import with_reported_metric

POINT = OperatingPoint(metric=0.4, macs=1, params=1, latency_s=1.0, latency_iqr_s=0.1, peak_bytes=1)


def test_it_is_that_at_the_setting_of_each_point_that_holds():
    points = (POINT, replace(POINT, knobs={"threshold": 0.5, "route": "v"}), replace(POINT, holds=False))
    found = with_reported_metric(points, lambda settings, without: settings.get("threshold", 1.0))
    assert [point.reported_metric for point in found] == [1.0, 0.5, None]
    assert [replace(point, reported_metric=None) for point in found] == list(points)
