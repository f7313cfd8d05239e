"""Hypervolume against known values, inclusion-exclusion, Monte Carlo and Optuna's own."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from optuna._hypervolume import compute_hypervolume

from nasfuse.errors import InvalidInputError
from nasfuse.pareto import hypervolume, non_dominated


def tables(*, n_objectives, max_points=7):
    """Cost tables in eighths: sums are exact, ties and points past the reference (1, ...) occur."""
    shapes = st.tuples(st.integers(0, max_points), n_objectives)
    values = st.integers(-8, 10).map(lambda eighths: eighths / 8)
    return shapes.flatmap(lambda shape: hnp.arrays(np.float64, shape, elements=values))


def inclusion_exclusion(costs, reference):
    """Volume of the union of boxes as an alternating sum over the intersections of all subsets."""
    total = 0.0
    for size in range(1, len(costs) + 1):
        for subset in combinations(costs, size):
            sides = np.maximum(reference - np.max(subset, axis=0), 0.0)
            total += (-1) ** (size + 1) * sides.prod()
    return total


@given(tables(n_objectives=st.integers(1, 4)))
def test_is_the_volume_of_the_union_of_boxes(costs):
    reference = np.ones(costs.shape[1])
    assert hypervolume(costs, reference=reference) == pytest.approx(inclusion_exclusion(costs, reference), abs=1e-12)


@pytest.mark.parametrize("n_objectives", [2, 3, 4])
def test_agrees_with_optuna(n_objectives):
    costs = np.random.default_rng(n_objectives).uniform(size=(40, n_objectives))
    reference = np.full(n_objectives, 1.1)
    assert hypervolume(costs, reference=reference) == pytest.approx(compute_hypervolume(costs, reference), rel=1e-12)


def test_three_objectives_agree_with_monte_carlo():
    rng = np.random.default_rng(0)
    costs = rng.uniform(size=(15, 3))
    samples = rng.uniform(size=(100_000, 3))
    inside = np.zeros(len(samples), dtype=bool)
    for point in costs:
        inside |= (samples >= point).all(axis=1)
    share = inside.mean()
    standard_error = np.sqrt(share * (1 - share) / len(samples))
    assert abs(hypervolume(costs, reference=np.ones(3)) - share) < 5 * standard_error


@pytest.mark.parametrize("n_points", [1, 2, 10, 1000])
def test_straight_front_of_two_objectives_has_its_closed_form(n_points):
    # n points evenly on x + y = 1, reference (1, 1): n - 1 steps lose a triangle of half a step squared each
    x = np.linspace(0, 1, n_points) if n_points > 1 else np.array([0.5])
    expected = 0.5 - 0.5 / (n_points - 1) if n_points > 1 else 0.25
    assert hypervolume(np.column_stack([x, 1 - x]), reference=[1, 1]) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n_objectives", [1, 2, 3, 5])
def test_one_point_is_a_box(n_objectives):
    sides = np.arange(1.0, n_objectives + 1)
    assert hypervolume([-sides], reference=np.zeros(n_objectives)) == sides.prod()


def test_three_corner_points_have_a_known_volume():
    # three 1 x 1 x 2 bars that share the unit cube: 3 * 2 - 2
    costs = [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    assert hypervolume(costs, reference=[2, 2, 2]) == 4.0


@given(tables(n_objectives=st.just(3)), st.randoms(use_true_random=False))
def test_order_of_points_and_of_objectives_does_not_matter(costs, random):
    rows, columns = list(range(len(costs))), [0, 1, 2]
    random.shuffle(rows)
    random.shuffle(columns)
    shuffled = costs[rows][:, columns]
    reference = np.array([0.5, 0.75, 1.0])
    assert hypervolume(shuffled, reference=reference[columns]) == hypervolume(costs, reference=reference)


@given(tables(n_objectives=st.integers(1, 3)))
def test_dominated_points_and_duplicates_change_nothing(costs):
    reference = np.ones(costs.shape[1])
    front = costs[non_dominated(costs)]
    assert hypervolume(front, reference=reference) == hypervolume(np.vstack([costs, costs]), reference=reference)


@given(tables(n_objectives=st.just(2)), st.tuples(st.integers(-8, 8), st.integers(-8, 8)))
def test_one_more_point_never_loses_volume(costs, point):
    more = np.vstack([costs, np.array(point) / 8])
    assert hypervolume(more, reference=[1, 1]) >= hypervolume(costs, reference=[1, 1])


@pytest.mark.parametrize("point", [[1, 0, 0], [2, 0, 0], [1, 1, 1], [np.inf, 0, 0]])
def test_points_that_are_not_better_everywhere_contribute_nothing(point):
    assert hypervolume([point], reference=[1, 1, 1]) == 0.0
    assert hypervolume([point, [0.5, 0.5, 0.5]], reference=[1, 1, 1]) == 0.125


def test_no_points_have_no_volume():
    assert hypervolume(np.empty((0, 2)), reference=[1, 1]) == 0.0


class TestInput:
    def test_is_not_changed(self):
        costs, reference = np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([3.0, 3.0])
        before = costs.copy(), reference.copy()
        hypervolume(costs, reference=reference)
        assert np.array_equal(costs, before[0])
        assert np.array_equal(reference, before[1])

    def test_costs_must_not_be_nan(self):
        with pytest.raises(InvalidInputError, match="costs must not be NaN"):
            hypervolume([[np.nan, 1.0]], reference=[2, 2])

    def test_costs_must_be_a_table(self):
        with pytest.raises(InvalidInputError, match=r"shape \(points, objectives\)"):
            hypervolume([1.0, 2.0], reference=[2, 2])

    def test_volume_must_be_finite(self):
        with pytest.raises(InvalidInputError, match=r"above -inf"):
            hypervolume([[-np.inf, 1.0]], reference=[2, 2])

    @pytest.mark.parametrize("reference", [[2], [2, 2, 2], [[2, 2]], 2])
    def test_reference_must_match_the_objectives(self, reference):
        with pytest.raises(InvalidInputError, match=r"one value per objective, shape \(2,\), got shape"):
            hypervolume([[1.0, 1.0]], reference=reference)

    @pytest.mark.parametrize("worst", [np.nan, np.inf, -np.inf])
    def test_reference_must_be_finite(self, worst):
        with pytest.raises(InvalidInputError, match="reference must be finite"):
            hypervolume([[1.0, 1.0]], reference=[2.0, worst])

    def test_reference_must_be_numbers(self):
        with pytest.raises(InvalidInputError, match="reference must be a list of numbers"):
            hypervolume([[1.0, 1.0]], reference=["far", "away"])
