import math

import numpy as np
import pytest

from benchmarks.search.enumeration import every_suggestion, key_of
from benchmarks.search.table import Table
from nasfuse.domain.operating_point import OperatingPoint
from nasfuse.search.front import Candidate, Objectives


@pytest.fixture(scope="module")
def table() -> Table:
    return Table()


def test_it_has_every_network_of_its_space_and_no_other(table: Table) -> None:
    wanted = [key_of(params) for params in every_suggestion(table.space.suggest)]
    assert len(wanted) >= 200
    assert sorted(key_of(params) for params in table.networks) == wanted


def test_every_network_has_a_cost_and_a_full_curve(table: Table) -> None:
    assert table.max_epochs == 27
    for params in table.networks:
        curve = table.curve(params, seed=0)
        assert curve.shape == (27,)
        assert np.all((curve >= 0) & (curve <= 1))
        assert 2 < table.cost_of(params) <= table.reference[1]


def test_it_spreads_over_two_decades_of_macs_and_most_accuracies(table: Table) -> None:
    errors, costs = table.points.T
    assert np.ptp(costs) > 2
    assert errors.min() < 0.02
    assert errors.max() > 0.7


def test_its_hypervolume_is_that_of_a_study(table: Table) -> None:
    error, cost = table.reference
    objectives = Objectives("accuracy", "macs", (1 - error, 10**cost))
    measured = [OperatingPoint(1 - one, round(10**other), 1, 1.0, 0.0, 1) for one, other in table.points]
    candidates = [Candidate(number, 0, point, "") for number, point in enumerate(measured)]
    assert objectives.hypervolume(candidates) == pytest.approx(table.best_hypervolume)


def test_costs_are_logarithms_of_macs(table: Table) -> None:
    assert max(table.cost_of(params) for params in table.networks) == table.reference[1]
    assert math.isclose(10 ** table.reference[1], round(10 ** table.reference[1]))


def test_it_says_where_it_comes_from(table: Table) -> None:
    assert table.provenance.keys() >= {"study", "torch", "python", "seeds", "data_fingerprint"}


def test_its_recipes_lead_back_to_its_networks(table: Table) -> None:
    for params in table.networks[::50]:
        assert key_of(table.parameters_of(table.space.recipe(params))) == key_of(params)
        assert table.macs_of(table.cost_of(params)) == pytest.approx(10 ** table.cost_of(params))
    assert table.space.baselines == {}
