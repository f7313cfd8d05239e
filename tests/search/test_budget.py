"""When a study ends."""

import pytest

from nasfuse.config.study import BudgetConfig
from nasfuse.search.budget import Budget


@pytest.mark.parametrize(
    ("budget", "share"),
    [
        (Budget(16, None), 0.5),
        (Budget(8, None), 1.0),
        (Budget(4, None), 2.0),
        (Budget(None, 60), 0.75),
        (Budget(None, 45), 1.0),
        (Budget(80, 60), 0.75),
        (Budget(8, 60), 1.0),
    ],
)
def test_the_first_that_is_reached_counts(budget, share):
    assert budget.share(trainings=8, seconds=45.0) == share


def test_minutes_are_seconds_here():
    assert Budget.from_config(BudgetConfig(minutes=2)).seconds == 120
    assert Budget.from_config(BudgetConfig(trials=3)).seconds is None
    assert Budget.from_config(BudgetConfig(trials=3)).trials == 3


@pytest.mark.parametrize(
    ("trainings", "repetitions", "may"),
    [(9, 0, False), (10, 0, True), (19, 1, False), (20, 1, True), (79, 60, False), (80, 60, True)],
)
def test_one_training_in_ten_may_be_a_repetition_and_all_at_the_end(trainings, repetitions, may):
    budget = Budget(100, None, repeats=3)
    assert budget.may_repeat(trainings=trainings, repetitions=repetitions, seconds=0.0) == may


def test_nothing_is_repeated_where_one_training_is_enough():
    assert not Budget(100, None, repeats=1).may_repeat(trainings=99, repetitions=0, seconds=0.0)
