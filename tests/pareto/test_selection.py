"""The knee against a naive twin that measures distances to the chord."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nasfuse.errors import InvalidInputError
from nasfuse.pareto import knee, non_dominated


def tables(*, max_points=12):
    shapes = st.tuples(st.integers(1, max_points), st.just(2))
    return hnp.arrays(np.float64, shapes, elements=st.integers(0, 20).map(float))


def distances_below_chord(front):
    """Signed distances (n,) of a scaled front (n, 2) from the line through its ends, by cross product."""
    scaled = (front - front.min(axis=0)) / (front.max(axis=0) - front.min(axis=0))
    left, right = scaled[scaled[:, 0].argmin()], scaled[scaled[:, 0].argmax()]
    chord = right - left
    offset = scaled - left
    return (chord[1] * offset[:, 0] - chord[0] * offset[:, 1]) / np.hypot(*chord)


@given(tables())
def test_is_furthest_below_the_chord(costs):
    front = costs[non_dominated(costs)]
    assume(len(front) > 1)
    chosen = np.flatnonzero((front == costs[knee(costs)]).all(axis=1))
    distances = distances_below_chord(front)
    assert distances[chosen] == pytest.approx(distances.max(), abs=1e-9)


@given(tables())
def test_lies_on_the_front(costs):
    assert non_dominated(costs)[knee(costs)]


@given(tables(), st.sampled_from([0.5, 4.0, 1024.0]), st.sampled_from([0.25, 2.0]), st.integers(-50, 50))
def test_units_do_not_matter(costs, first_scale, second_scale, offset):
    assert knee(costs * [first_scale, second_scale] + offset) == knee(costs)


def test_the_bend_is_chosen_whatever_the_order():
    costs = np.array([[9, 1], [1, 2], [10, 0], [0, 10], [11, 11]])
    assert knee(costs) == 1
    assert knee(costs[::-1]) == 3


@pytest.mark.parametrize(
    ("costs", "expected"),
    [
        pytest.param([[5, 5]], 0, id="one point"),
        pytest.param([[5, 5], [5, 5]], 0, id="one point twice"),
        pytest.param([[2, 1], [1, 2]], 1, id="two points"),
        pytest.param([[10, 0], [9, 8], [0, 10]], 2, id="bulges outwards"),
        pytest.param([[x, 7 - x] for x in range(8)], 0, id="straight"),
        pytest.param([[x / 7, 1 - x / 7] for x in range(8)], 0, id="straight up to rounding"),
    ],
)
def test_without_a_bend_the_end_best_in_the_first_objective_is_chosen(costs, expected):
    assert knee(costs) == expected


def test_a_dominated_infinite_point_does_not_matter():
    assert knee([[0, 10], [1, 2], [np.inf, 2], [10, 0]]) == 1


class TestInput:
    @pytest.mark.parametrize("shape", [(0, 2), (3, 1), (3, 3)])
    def test_must_hold_points_of_two_objectives(self, shape):
        with pytest.raises(InvalidInputError, match=r"shape \(n, 2\) with at least one point for a knee, got shape"):
            knee(np.zeros(shape))

    def test_must_not_be_nan(self):
        with pytest.raises(InvalidInputError, match="must not be NaN"):
            knee([[np.nan, 1.0]])

    @pytest.mark.parametrize("infinite", [np.inf, -np.inf])
    def test_front_must_be_finite(self, infinite):
        with pytest.raises(InvalidInputError, match="must be finite for a knee, got an infinite cost"):
            knee([[infinite, 0.0], [0.0, 1.0]])
