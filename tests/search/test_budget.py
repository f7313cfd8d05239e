"""When a study ends."""

import pytest

from nasfuse.search.budget import Budget, end_by_time
from nasfuse.spec.study import BudgetConfig


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


def test_the_time_may_end_a_search_before_its_trials():
    assert end_by_time(BudgetConfig(trials=200, minutes=2.5), trainings=34) == (
        "the time of 2.5 min ended the search after 34 of 200 trials; a larger --minutes continues it"
    )
    for others in (BudgetConfig(trials=34, minutes=2.5), BudgetConfig(trials=200), BudgetConfig(minutes=2.5)):
        assert end_by_time(others, trainings=34) is None


@pytest.mark.parametrize(("minutes", "seconds", "covers"), [(None, 1e9, True), (2, 59.0, True), (2, 60.0, False)])
def test_families_are_preferred_in_the_first_half_of_a_time(minutes, seconds, covers):
    budget = Budget.from_config(BudgetConfig(trials=10, minutes=minutes))
    assert budget.is_for_covering(seconds=seconds) == covers


@pytest.mark.parametrize(("trainings", "seconds", "confirms"), [(79, 47.0, False), (80, 0.0, True), (0, 48.0, True)])
def test_the_last_fifth_is_for_confirming(trainings, seconds, confirms):
    assert Budget(100, 60, repeats=3).is_for_confirming(trainings=trainings, seconds=seconds) == confirms


def test_nothing_is_confirmed_where_one_training_is_enough():
    assert not Budget(100, None, repeats=1).is_for_confirming(trainings=99, seconds=0.0)


@pytest.mark.parametrize(
    ("budget", "trainings", "seconds", "needed"),
    [
        (Budget(25, None, repeats=3), 22, 0.0, False),
        (Budget(25, None, repeats=3), 23, 0.0, True),
        (Budget(None, 60, repeats=3), 5, 47.0, False),
        (Budget(None, 60, repeats=3), 5, 48.0, True),
        (Budget(25, 60, repeats=3), 5, 48.0, True),
    ],
)
def test_what_confirms_the_best_point_is_kept(budget, trainings, seconds, needed):
    assert budget.is_for_the_best(trainings=trainings, seconds=seconds) == needed


@pytest.mark.parametrize(
    ("budget", "trainings", "seconds", "allowed"),
    [
        (Budget(25, None), 6, 1e9, True),
        (Budget(25, None), 7, 0.0, False),
        (Budget(None, 60), 99, 14.0, True),
        (Budget(None, 60), 1, 15.0, False),
        (Budget(25, 60), 6, 15.0, False),
    ],
)
def test_a_share_of_a_budget(budget, trainings, seconds, allowed):
    assert budget.allows(0.25, trainings=trainings, seconds=seconds) == allowed
