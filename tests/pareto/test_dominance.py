"""Dominance against a naive twin that reads like the definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nasfuse.errors import InvalidInputError
from nasfuse.pareto import non_dominated, non_dominated_rank


def tables(*, max_points=12, max_objectives=4):
    """Cost tables with many ties and duplicates, negative zeros and infinities."""
    shapes = st.tuples(st.integers(0, max_points), st.integers(1, max_objectives))
    values = st.sampled_from([-np.inf, -1.0, -0.0, 0.0, 0.5, 1.0, 2.0, np.inf])
    return shapes.flatmap(lambda shape: hnp.arrays(np.float64, shape, elements=values))


def dominates(a, b):
    return all(x <= y for x, y in zip(a, b, strict=True)) and any(x < y for x, y in zip(a, b, strict=True))


def naive_non_dominated(costs):
    rows = costs.tolist()
    return [
        not any(dominates(other, row) for other in rows) and row not in rows[:index] for index, row in enumerate(rows)
    ]


def naive_rank(costs):
    rows = costs.tolist()
    ranks = [-1] * len(rows)
    left = set(range(len(rows)))
    rank = 0
    while left:
        front = {i for i in left if not any(dominates(rows[j], rows[i]) for j in left)}
        for i in front:
            ranks[i] = rank
        left -= front
        rank += 1
    return ranks


@given(tables())
def test_non_dominated_agrees_with_the_definition(costs):
    assert non_dominated(costs).tolist() == naive_non_dominated(costs)


@given(tables())
def test_rank_agrees_with_peeling(costs):
    assert non_dominated_rank(costs).tolist() == naive_rank(costs)


@given(tables())
def test_front_is_rank_zero_without_its_duplicates(costs):
    mask = non_dominated(costs)
    first_front = costs[non_dominated_rank(costs) == 0]
    assert {tuple(row) for row in costs[mask]} == {tuple(row) for row in first_front}
    assert mask.sum() == len({tuple(row) for row in costs[mask]})


@given(tables(), st.randoms(use_true_random=False))
def test_rank_does_not_depend_on_the_order_of_points(costs, random):
    order = list(range(len(costs)))
    random.shuffle(order)
    assert non_dominated_rank(costs[order]).tolist() == non_dominated_rank(costs)[order].tolist()


@pytest.mark.parametrize("n_objectives", [1, 2, 3])
def test_agrees_with_optuna_on_random_points(n_objectives):
    from optuna.study._multi_objective import _fast_non_domination_rank

    costs = np.random.default_rng(n_objectives).normal(size=(200, n_objectives))
    assert non_dominated_rank(costs).tolist() == _fast_non_domination_rank(costs).tolist()


def test_the_first_of_identical_rows_is_kept():
    assert non_dominated([[1, 2], [0, 5], [1, 2], [1, 2]]).tolist() == [True, True, False, False]


def test_a_chain_has_one_front_per_point():
    assert non_dominated_rank([[3, 3], [1, 1], [2, 2]]).tolist() == [2, 0, 1]


def test_no_points_have_an_empty_front():
    assert non_dominated(np.empty((0, 2))).shape == (0,)
    assert non_dominated_rank(np.empty((0, 2))).shape == (0,)


def test_dtypes_are_what_indexing_and_counting_need():
    assert non_dominated([[1, 2]]).dtype == np.bool_
    assert non_dominated_rank([[1, 2]]).dtype == np.int64


@pytest.mark.parametrize("function", [non_dominated, non_dominated_rank])
class TestInput:
    def test_is_not_changed(self, function):
        costs = np.array([[2.0, 1.0], [1.0, 2.0], [3.0, 3.0]])
        before = costs.copy()
        function(costs)
        assert np.array_equal(costs, before)

    @pytest.mark.parametrize("shape", [(), (3,), (2, 2, 2), (3, 0)])
    def test_must_be_a_table(self, function, shape):
        with pytest.raises(InvalidInputError, match=r"shape \(points, objectives\).*got \("):
            function(np.zeros(shape))

    def test_must_not_be_nan(self, function):
        with pytest.raises(InvalidInputError, match=r"NaN in 1 of 2 rows, the first is row 1"):
            function([[1.0, 2.0], [np.nan, 0.0]])

    @pytest.mark.parametrize("costs", [[[1, 2], [3]], [["a", "b"]], [[None, object()]]])
    def test_must_be_numbers(self, function, costs):
        with pytest.raises(InvalidInputError, match="table of numbers"):
            function(costs)
