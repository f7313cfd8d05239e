"""The front of points that change little, against the front computed anew."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasfuse.pareto import non_dominated
from nasfuse.search.growing_front import GrowingFront


@dataclass(frozen=True)
class Point:
    """Two values; equal ones need not be the same object."""

    first: int
    second: int


class Growing:
    """A growing front of points, and how many costs it reads; those of at least 9 may not be on it."""

    def __init__(self):
        self.n_read = 0
        self.front = GrowingFront[Point](self.costs, are_useful=lambda costs: costs[:, 0] < 9)

    def costs(self, points):
        self.n_read += len(points)
        return np.array([(one.first, one.second) for one in points], float).reshape(-1, 2)


def naive(points):
    useful = [one for one in points if one.first < 9]
    mask = non_dominated([(one.first, one.second) for one in useful]) if useful else []
    return [one for one, is_member in zip(useful, mask, strict=True) if is_member]


def is_same(found, expected):
    return len(found) == len(expected) and all(one is other for one, other in zip(found, expected, strict=True))


POINTS = st.builds(Point, st.integers(0, 11), st.integers(0, 11))

#: What becomes of the points from one call to the next: one replaced, some added, some removed from the end, one
#: removed, or all new.
EDITS = st.lists(
    st.tuples(st.sampled_from(["replace", "add", "shorten", "remove", "new"]), st.integers(0, 20), POINTS), max_size=12
)


@given(st.lists(POINTS, max_size=12), EDITS)
def test_it_is_that_of_the_points_as_they_are(points, edits):
    growing, now = Growing(), points
    assert is_same(growing.front.of(now), naive(now))
    for kind, place, point in edits:
        now = list(now)
        if kind == "replace" and now:
            now[place % len(now)] = point
        elif kind == "add":
            now += [point, Point(point.second, point.first)]
        elif kind == "shorten":
            now = now[: len(now) - place % 4]
        elif kind == "remove" and now:
            del now[place % len(now)]
        elif kind == "new":
            now = [Point(one.second, one.first) for one in now]
        assert is_same(growing.front.of(now), naive(now))


@pytest.fixture
def many():
    rng = np.random.default_rng(0)
    return [Point(int(first), int(second)) for first, second in rng.integers(0, 9, (500, 2))]


def test_points_are_read_again_only_where_they_have_changed(many):
    growing = Growing()
    growing.front.of(many)
    assert growing.n_read == 500
    growing.front.of(list(many))
    assert growing.n_read == 500
    member = many.index(growing.front.of(many)[0])
    for place in (member, 7, 499):
        many = list(many)
        many[place] = Point(5, 5)
        assert is_same(growing.front.of(many), naive(many))
    growing.front.of([*many, Point(3, 3)])
    growing.front.of(many)
    assert growing.n_read == 504
