"""Ensembles as points: what they cost and how they are named."""

import pytest

from nasfuse.domain.cost import COSTS
from nasfuse.domain.operating_point import OperatingPoint
from nasfuse.search.ensembles import Ensemble
from nasfuse.search.front import Candidate, to_row


def candidate(trial, *, point=0, costs=None):
    measured = OperatingPoint(
        metric=0.5,
        macs=10 * trial,
        params=trial,
        latency_s=0.25,
        latency_iqr_s=0.125,
        peak_bytes=100 * trial,
        knobs={"max_steps": 3.0},
        costs=costs or {},
        outside_macs=1000,
    )
    return Candidate(trial, point, measured, f"network {trial}", baseline="late concat", trainings=(trial, 30, 31))


def test_costs_of_the_members_add_up_except_memory_in_training():
    found = Ensemble((candidate(3), candidate(5, point=2)), (0.5, 0.75)).candidate()
    expected = {"macs": 80, "total_macs": 1080, "params": 8, "latency_s": 0.5, "peak_bytes": 500}
    assert {name: found.measured.cost(name) for name in COSTS} == expected
    assert (found.measured.metric, found.metric_sd) == (0.625, pytest.approx(0.1768, abs=1e-4))
    assert found.measured.latency_iqr_s == 0.25
    assert found.measured.setting == ""


def test_a_cost_of_another_package_is_kept_where_all_members_have_it(monkeypatch):
    cost = COSTS["params"]
    monkeypatch.setitem(COSTS, "joules", type(cost)("joules", "energy", "energy", "J", measurer="m:f"))
    pair = Ensemble((candidate(1, costs={"joules": 2.0}), candidate(2, costs={"joules": 0.5})), (0.5,)).candidate()
    assert pair.measured.cost("joules") == 2.5
    mixed = Ensemble((candidate(1, costs={"joules": 2.0}), candidate(2)), (0.5,)).candidate()
    assert mixed.measured.costs == {}


def test_it_is_named_by_its_members():
    found = Ensemble((candidate(3), candidate(5, point=2)), (0.5, 0.75)).candidate()
    assert found.label == "3+5:2"
    assert found.summary == "ensemble of 2: network 3 & network 5"
    assert found.baseline is None
    assert found.spread == "0.177 (2)"
    assert to_row(found)["members"] == "3+5:2"
    assert to_row(candidate(3))["members"] is None
