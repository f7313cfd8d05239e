"""Folds over sequences that grow, against the same function of the whole sequence."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasfuse.search.fold import Fold


@dataclass(eq=False)
class Number:
    """An item that equals only itself, like the view of a trial."""

    value: int
    is_finished: bool = True


class Counting:
    """The fold of numbers to their values in order, and how many items it reads."""

    def __init__(self):
        self.n_read = 0
        self.fold = Fold[Number, tuple[int, ...]]((), self.extend)

    def extend(self, before, items):
        self.n_read += len(items)
        return (*before, *(one.value for one in items))


@pytest.fixture
def counting():
    return Counting()


def numbers(n):
    return [Number(value) for value in range(n)]


def values(items):
    return tuple(one.value for one in items)


def test_the_empty_sequence(counting):
    assert counting.fold.of([]) == ()


def test_items_are_read_once_as_a_sequence_grows(counting):
    items = numbers(100)
    for n in range(1, 101):
        assert counting.fold.of(items[:n]) == values(items[:n])
    assert counting.n_read == 100


def test_items_that_may_change_are_read_again(counting):
    items = numbers(10)
    items[4].is_finished = False
    for _ in range(3):
        assert counting.fold.of(items) == values(items)
    assert counting.n_read == 4 + 3 * 6
    items[4] = Number(40)
    assert counting.fold.of(items) == values(items)


def test_two_views_of_one_sequence_do_not_cost_a_reading_of_all_items_each(counting):
    """The display sees results that a suggestion does not see."""
    items = numbers(500)
    for n in range(100, 500):
        seen, shown = items[:n], [*items[: n - 8], *(Number(-1, is_finished=False) for _ in range(8))]
        assert counting.fold.of(seen) == values(seen)
        assert counting.fold.of(shown) == values(shown)
    assert counting.n_read < 400 * 2 * 20


def test_several_sequences_at_once(counting):
    some, others = numbers(30), numbers(20)
    for n in range(1, 31):
        assert counting.fold.of(some[:n]) == values(some[:n])
        assert counting.fold.of(others[:n]) == values(others[:n])
    assert counting.n_read == 50


def test_only_a_few_sequences_are_kept(counting):
    for _ in range(20):
        counting.fold.of(numbers(5))
    assert len(counting.fold._memos) < 10


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12), st.booleans()), max_size=30))
def test_any_changes_of_a_sequence(changes):
    """Each step cuts the sequence, replaces what follows, and may leave the last item open."""
    counting, items = Counting(), []
    for kept, added, is_finished in changes:
        items = [*items[:kept], *numbers(added)]
        if items:
            items[-1] = Number(7, is_finished=is_finished)
        assert counting.fold.of(items) == values(items)
