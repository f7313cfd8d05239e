"""The registry of costs agrees with what operating points hold and with what studies accept."""

import dataclasses

import pytest

from nasfuse.domain.cost import COSTS
from nasfuse.domain.operating_point import OperatingPoint


@pytest.mark.parametrize("name", COSTS)
def test_every_cost_is_a_field_of_an_operating_point(name):
    assert name in {field.name for field in dataclasses.fields(OperatingPoint)}
    assert COSTS[name].name == name


def test_a_cost_that_is_known_before_training_has_no_fixed_reference():
    assert [cost.name for cost in COSTS.values() if cost.reference is None] == ["macs", "params"]
