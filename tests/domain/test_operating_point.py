"""Operating points: their setting in words, and their record."""

import json

import pytest

from nasfuse.domain.operating_point import Measurements, OperatingPoint


def point(**knobs):
    return OperatingPoint(metric=0.5, macs=10, params=5, latency_s=1e-3, latency_iqr_s=1e-4, peak_bytes=64, knobs=knobs)


@pytest.mark.parametrize(
    ("knobs", "setting"),
    [
        ({}, ""),
        ({"threshold": 0.123456}, "threshold 0.123"),
        ({"threshold": 1.0, "route": "left"}, "always left"),
        ({"threshold": 0.31, "route": "left+right:1"}, "always left+right:1"),
        ({"a": 1, "b": 1e-7}, "a 1, b 1e-07"),
    ],
)
def test_the_setting_in_words(knobs, setting):
    assert point(**knobs).setting == setting


def test_knobs_survive_json():
    measured = Measurements((point(), point(threshold=1 / 3, route="left")), {"routing": {"usage": {"left": 1.0}}})
    assert Measurements.from_plain(json.loads(json.dumps(measured.to_plain()))) == measured
