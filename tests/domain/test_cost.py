"""The registry of costs agrees with what operating points hold and with what studies accept."""

import dataclasses

import pytest

from nasfuse.domain.cost import COSTS
from nasfuse.domain.operating_point import OperatingPoint


@pytest.mark.parametrize("name", COSTS)
def test_every_cost_is_in_an_operating_point(name):
    """As a field, as a sum of fields, or as an entry of its further costs, which have a measurer."""
    is_field = name in {field.name for field in dataclasses.fields(OperatingPoint)}
    is_sum = isinstance(getattr(OperatingPoint, name, None), property)
    assert is_field or is_sum or COSTS[name].measurer is not None
    assert COSTS[name].name == name


def test_a_cost_that_is_known_before_training_has_no_fixed_reference():
    assert [cost.name for cost in COSTS.values() if cost.reference is None] == ["macs", "params"]
