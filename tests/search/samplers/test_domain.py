"""The domain in numbers: rows and parameters say the same, and what does not exist is not there."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from nasfuse.search.parameters import Condition, Parameter
from nasfuse.search.samplers import Domain
from nasfuse.search.samplers.domain import Column
from nasfuse.search.samplers.encoding import Encoding

DISTRIBUTIONS = [
    FloatDistribution(-1.0, 3.0),
    FloatDistribution(1e-5, 1.0, log=True),
    FloatDistribution(0.0, 1.0, step=0.1),
    FloatDistribution(1e-3, 1e-3, log=True),
    IntDistribution(1, 5),
    IntDistribution(2, 10, step=4),
    IntDistribution(1, 512, log=True),
    IntDistribution(7, 7),
    CategoricalDistribution([32, 8, 16]),
    CategoricalDistribution(["a", None, True]),
]


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=str)
class TestColumns:
    def test_every_point_is_a_value_and_its_own_point_again(self, distribution):
        column = Column("x", distribution)
        values = column.values(np.linspace(0, 1, 200))
        assert all(distribution._contains(value) for value in values)
        np.testing.assert_allclose(column.values(column.units(values)), values, rtol=1e-9)
        assert np.isnan(column.units(np.array([np.nan]))).all()

    def test_all_levels_are_drawn_alike(self, distribution):
        column = Column("x", distribution)
        if column.n_levels and not getattr(distribution, "log", False):
            values, counts = np.unique(column.values(np.linspace(0, 1, 1001)), return_counts=True)
            assert len(values) == column.n_levels
            assert counts.max() - counts.min() <= 2


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=str)
def test_levels_are_all_values_that_can_be_drawn(distribution):
    column = Column("x", distribution)
    drawn = {distribution.to_external_repr(value) for value in column.values(np.linspace(0, 1, 4001))}
    assert len(column.levels()) == column.n_levels
    assert set(column.levels()) == (drawn if column.n_levels else set())


class TestCombinations:
    PARAMETERS = (
        Parameter("kind", CategoricalDistribution(["a", "b", "c"]), "a"),
        Parameter("n", IntDistribution(1, 4), 1, (Condition("kind", values=("a",)),)),
        Parameter("m", IntDistribution(0, 10, step=5), 0, (Condition("n", at_least=3),)),
        Parameter("x", FloatDistribution(0, 1), 0.5, (Condition("fixed", values=("yes",)),)),
    )

    def test_absent_parameters_do_not_multiply_combinations(self):
        """b, c, two n without m, and two n with three m each."""
        found = Domain(self.PARAMETERS, constants={"fixed": "no"}).combinations(limit=10)
        assert len(found) == 2 + 2 + 2 * 3
        assert {"kind": "b"} in found
        assert {"kind": "a", "n": 4, "m": 5} in found

    def test_more_than_the_limit(self):
        assert Domain(self.PARAMETERS, constants={"fixed": "no"}).combinations(limit=9) is None

    def test_a_continuum(self):
        assert Domain(self.PARAMETERS, constants={"fixed": "yes"}).combinations(limit=10**6) is None


def test_choices_that_are_numbers_stand_in_their_order():
    column = Column("x", CategoricalDistribution([32, 8, 16]))
    assert column.values(np.array([0.1, 0.5, 0.9])).tolist() == [1, 2, 0]
    assert column.is_ordinal
    assert not Column("x", CategoricalDistribution([True, False])).is_ordinal


def test_rows_are_parameters(domain):
    row = domain.row({"kind": "a", "depth": 3, "width": 16, "lr": 0.01})
    assert row.tolist() == [0, 3, 2, 0.01]
    assert domain.parameters(row) == {"kind": "a", "depth": 3, "width": 16, "lr": 0.01}
    assert domain.parameters(domain.row({"kind": "b", "width": 8, "lr": 0.1})) == {"kind": "b", "width": 8, "lr": 0.1}


def test_a_parameter_that_should_not_exist_is_left_out(domain):
    assert np.isnan(domain.row({"kind": "b", "depth": 3, "width": 8, "lr": 0.1})[1])


@pytest.mark.parametrize("wrong", [{"lr": 1.0}, {"width": 9}, {"depth": 7}])
def test_a_value_outside_is_no_row(domain, wrong):
    assert domain.row({"kind": "a", "depth": 3, "width": 16, "lr": 0.01, **wrong}) is None


def test_a_missing_parameter_is_no_row(domain):
    assert domain.row({"kind": "a", "width": 16, "lr": 0.01}) is None


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_a_draw_is_complete(point):
    domain = Domain.unconditional({f"x{index}": DISTRIBUTIONS[index] for index in (1, 2, 6, 9)})
    (row,) = domain.rows(np.array([point]))
    assert domain.row(domain.parameters(row)).tobytes() == row.tobytes()


def test_conditions_decide_what_exists(domain):
    rows = domain.rows(np.random.default_rng(0).random((300, 4)))
    assert (np.isnan(rows[:, 1]) == (rows[:, 0] != 0)).all()
    assert not np.isnan(rows[:, [0, 2, 3]]).any()
    assert all(domain.row(domain.parameters(row)).tobytes() == row.tobytes() for row in rows)


def test_a_condition_on_a_field_that_is_nowhere_never_holds(domain):
    rows = Domain(domain._parameters).rows(np.full((1, 4), 0.1))
    assert np.isnan(rows[0, 3])


def test_features(domain):
    # kind in three columns, depth, width, log lr; then: depth exists, lr exists
    one, other = {"kind": "a", "depth": 2, "width": 16, "lr": 0.1}, {"kind": "c", "width": 32, "lr": 1e-4}
    encoding = Encoding(domain)
    features = encoding.features(np.array([domain.row(one), domain.row(other)]))
    chosen = math.sqrt(0.5)
    expected = [[chosen, 0, 0, 1 / 3, 0.5, 1, 1, 1], [0, 0, chosen, 0.5, 1, 0, 0, 1]]
    np.testing.assert_allclose(features, expected, atol=1e-12)
    assert np.linalg.norm(features[0, :3] - features[1, :3]) == pytest.approx(1.0)
    assert encoding.groups.tolist() == [0, 0, 0, 1, 2, 3, 4, 5]


def test_constants_are_no_features():
    domain = Domain.unconditional({"x": IntDistribution(3, 3), "flag": CategoricalDistribution([True, False])})
    assert Encoding(domain).features(np.array([[3.0, 0.0], [3.0, 1.0]])).tolist() == [[0.0], [1.0]]
