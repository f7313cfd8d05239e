"""Operating points: their setting in words, and their record."""

import dataclasses
import json

import pytest

from nasfuse.domain.cost import COSTS
from nasfuse.domain.operating_point import Measurements, OperatingPoint
from nasfuse.errors import InvalidInputError


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


def test_costs_by_name(monkeypatch):
    monkeypatch.setitem(COSTS, "joules", dataclasses.replace(COSTS["peak_bytes"], name="joules"))
    measured = dataclasses.replace(point(), costs={"joules": 0.25})
    assert [measured.cost(name) for name in ("macs", "peak_bytes", "joules")] == [10, 64, 0.25]
    with pytest.raises(InvalidInputError, match="the cost joules was not measured when this network was trained"):
        point().cost("joules")


def test_knobs_survive_json():
    measured = Measurements((point(), point(threshold=1 / 3, route="left")), {"routing": {"usage": {"left": 1.0}}})
    assert Measurements.from_plain(json.loads(json.dumps(measured.to_plain()))) == measured
