"""Costs of draws: their order by distance from a place in the range of costs."""

import numpy as np
from optuna.distributions import FloatDistribution

from nasfuse.errors import InvalidInputError
from nasfuse.search.samplers.costs import Costs
from nasfuse.search.samplers.domain import Domain

DOMAIN = Domain.unconditional({"x": FloatDistribution(0, 10)})
ROWS = np.array([[5.0], [1.0], [9.0], [3.0]])


def cost_of(parameters):
    if parameters["x"] == 3.0:
        raise InvalidInputError("no network")
    return parameters["x"]


def nearest_first(*, share, max_cost=None, cost_of=cost_of):
    costs = Costs(DOMAIN, cost_of=cost_of, least_cost_of=None, max_cost=max_cost)
    return costs.nearest_first(ROWS, share=share)[:, 0].tolist()


def test_rows_without_a_cost_come_last():
    assert nearest_first(share=0.9) == [9.0, 5.0, 1.0, 3.0]
    assert nearest_first(share=0.0) == [1.0, 5.0, 9.0, 3.0]


def test_the_range_ends_at_the_limit():
    assert nearest_first(share=1.0, max_cost=6.0) == [5.0, 1.0, 9.0, 3.0]


def test_the_order_is_kept_where_no_cost_can_be_computed():
    assert nearest_first(share=0.5, cost_of=None) == ROWS[:, 0].tolist()
    assert nearest_first(share=0.5, cost_of=lambda parameters: None) == ROWS[:, 0].tolist()
