"""Parameters: when they exist, what they allow, and the order of those that depend on one another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from nasfuse.search.parameters import Condition, Parameter, integer, middle, order, real, set_path


def parameter(name, *, after=(), distribution=None):
    drawn = distribution or CategoricalDistribution([1])
    return Parameter(name, drawn, 1, tuple(Condition(one, values=(1,)) for one in after))


@pytest.mark.parametrize(
    ("condition", "values", "holds"),
    [
        (Condition("a", values=(1, 2)), {"a": 2}, True),
        (Condition("a", values=(1, 2)), {"a": 3}, False),
        (Condition("a", values=(1, 2)), {}, False),
        (Condition("a"), {"a": None}, True),
        (Condition("a", has="x"), {"a": "x+y"}, True),
        (Condition("a", has="x"), {"a": "xx+y"}, False),
        (Condition("a", at_least=2), {"a": "x+y"}, True),
        (Condition("a", at_least=2), {"a": "x"}, False),
        (Condition("a", at_least=2), {"a": 2}, True),
        (Condition("a", at_least=2), {"a": 1.5}, False),
        (Condition("a", has="x", at_least=2), {"a": "x"}, False),
        (Condition("a", has="x", at_least=2), {"a": "y+x"}, True),
        (Condition("a", has="x"), {"a": "y > y+x:1"}, True),
        (Condition("a", has="x"), {"a": "y > y:1+z"}, False),
        (Condition("a", at_least=2), {"a": "x > x+y"}, True),
        (Condition("a", at_least=2), {"a": "x:1 > x"}, False),
        (Condition("a", dynamic=True), {"a": "x > x+y"}, True),
        (Condition("a", dynamic=True), {"a": "x+y"}, False),
        (Condition("a", dynamic=False), {"a": "x+y"}, True),
        (Condition("a", dynamic=False), {"a": "x > y"}, False),
        (Condition("a", dynamic=True), {}, False),
    ],
)
def test_a_condition(condition, values, holds):
    assert condition.holds(values) is holds


@pytest.mark.parametrize(
    ("distribution", "value", "allowed"),
    [
        (CategoricalDistribution(["a", 2]), "a", True),
        (CategoricalDistribution(["a", 2]), "b", False),
        (IntDistribution(1, 3), 3, True),
        (IntDistribution(1, 3), 4, False),
        (IntDistribution(1, 3), 2.0, False),
        (IntDistribution(1, 3), True, False),
        (IntDistribution(1, 3), "2", False),
        (IntDistribution(1, 5, step=2), 2, False),
        (FloatDistribution(0.5, 1), 0.5, True),
        (FloatDistribution(0.5, 1), 1, True),
        (FloatDistribution(0.5, 1), 0.4, False),
        (FloatDistribution(0.5, 1), [0.5], False),
    ],
)
def test_values_that_a_distribution_allows(distribution, value, allowed):
    assert Parameter("a", distribution, None).allows(value) is allowed


@given(st.permutations("abcdef"))
def test_parameters_follow_those_they_depend_on(names):
    after = {"a": "", "b": "a", "c": "ab", "d": "", "e": "dc", "f": "e"}
    placed, cycle = order([parameter(name, after=after[name]) for name in names])
    assert cycle == []
    position = {one.name: index for index, one in enumerate(placed)}
    assert sorted(position) == list("abcdef")
    assert all(position[one] < position[name] for name, depends in after.items() for one in depends)


def test_the_order_of_the_file_is_kept_where_nothing_depends():
    assert [one.name for one in order([parameter(name) for name in "cab"])[0]] == list("cab")


@pytest.mark.parametrize(
    ("after", "cycle"),
    [
        ({"a": "a"}, ["a", "a"]),
        ({"a": "b", "b": "a"}, ["a", "b", "a"]),
        ({"x": "a", "a": "b", "b": "a"}, ["a", "b", "a"]),
    ],
)
def test_a_cycle_is_named(after, cycle):
    placed, found = order([parameter(name, after=depends) for name, depends in after.items()])
    assert placed == []
    assert found == cycle


def test_fields_outside_the_space_are_no_dependencies():
    assert order([parameter("a", after="z")])[1] == []


@given(st.integers(-50, 50), st.integers(0, 50), st.integers(1, 5))
def test_the_middle_of_whole_numbers_is_in_the_range(low, size, step):
    distribution = integer(low, low + size // step * step, log=False, step=step)
    assert Parameter("a", distribution, None).allows(middle(distribution))


@given(st.integers(1, 10**6), st.integers(0, 10**6))
def test_the_middle_of_a_logarithm_is_in_the_range(low, size):
    for distribution in (integer(low, low + size, log=True, step=None), real(low, low + size, log=True, step=None)):
        assert low <= middle(distribution) <= low + size + 1e-6


def test_the_middle():
    assert middle(CategoricalDistribution(["b", "a"])) == "b"
    assert middle(integer(1, 100, log=True, step=None)) == 10
    assert middle(real(0.0, 1.0, log=False, step=0.25)) == 0.5
    assert type(middle(integer(1, 4, log=False, step=None))) is int


def test_paths():
    tree = {"a": {"b": 1}}
    set_path(tree, "a.c.d", 2)
    set_path(tree, "e", 3)
    assert tree == {"a": {"b": 1, "c": {"d": 2}}, "e": 3}
