"""Which recipe is trained again."""

import optuna
from optuna.trial import TrialState

from nasfuse.domain.operating_point import OperatingPoint
from nasfuse.search.confirmation import next_repetition
from nasfuse.search.front import Objectives
from nasfuse.search.trial import TrialView

ACCURACY = Objectives("accuracy", "macs", (0.1, 1e6))
HEIR = {"inherited": {"left": 0}}

#: A front of three recipes.
ROWS = [("a", 0.5, 10, {}), ("b", 0.9, 100, {}), ("c", 0.95, 1000, {})]


def study(*rows):
    """`rows`: (recipe, metric or None, MACs, attributes) of trials; those without a metric failed."""
    trials = []
    for number, (recipe, metric, macs, attributes) in enumerate(rows):
        points = [] if metric is None else [vars(OperatingPoint(metric, macs, 1, 1e-3, 0.0, 1))]
        made = optuna.create_trial(
            state=TrialState.FAIL if metric is None else TrialState.COMPLETE,
            values=None if metric is None else [metric, 1.0],
            user_attrs={"recipe_hash": recipe, "summary": recipe, "points": points, **attributes},
        )
        made.number = number
        trials.append(TrialView(made))
    return trials


def repeated(trials, *, repeats=2):
    """Returns the number of the first training and the division of the next repetition."""
    found = next_repetition(trials, ACCURACY, repeats=repeats)
    return found and (found[0].number, found[1])


def test_a_promising_one_comes_first_and_on_the_first_division():
    trials = study(("a", 0.5, 10, {}), ("b", 0.9, 100, HEIR), ("c", 0.95, 1000, {}))
    assert repeated(trials) == (1, 0)


def test_a_candidate_off_the_front_is_not_confirmed():
    assert repeated(study(("a", 0.5, 10, {}), ("b", 0.4, 100, HEIR)), repeats=1) is None


def test_its_repetitions_are_those_of_its_first_training():
    trials = study(
        ("b", 0.9, 100, HEIR),
        ("b", 0.7, 100, {"repeat_of": 0, "division": 0}),
        ("b", None, 100, {"repeat_of": 0, "division": 1}),
    )
    assert repeated(trials[:2]) == (0, 1)
    assert repeated(trials) is None
    assert repeated(trials, repeats=3) == (0, 2)


def test_a_candidate_that_always_fails_from_scratch_is_given_up():
    failed = [("b", None, 5, {"repeat_of": 1, "division": cut}) for cut in (0, 1)]
    trials = study(("a", 0.5, 10, {}), ("b", 0.9, 5, HEIR), *failed)
    assert repeated(trials[:3]) == (1, 1)
    assert repeated(trials) == (0, 1)


def test_the_best_is_confirmed_first():
    assert repeated(study(*ROWS), repeats=3) == (2, 1)
    again = study(*ROWS, ("c", 0.94, 1000, {"repeat_of": 2, "division": 1}))
    assert repeated(again, repeats=3) == (2, 2)


def test_a_best_point_that_was_lucky_makes_room_for_the_next():
    again = study(*ROWS, ("c", 0.7, 1000, {"repeat_of": 2, "division": 1}))
    assert repeated(again, repeats=3) == (1, 1)


def test_one_that_takes_longer_than_is_left_makes_room_for_the_next():
    found = next_repetition(study(*ROWS), ACCURACY, repeats=3, fits=lambda first: first.number != 2)
    assert found is not None
    assert found[0].number == 0
    assert next_repetition(study(*ROWS), ACCURACY, repeats=3, fits=lambda _: False) is None


def test_then_what_the_front_would_miss_most():
    """b is hardly better than a, a hardly cheaper than b, and d far from both."""
    rows = [("a", 0.5, 10, {}), ("b", 0.51, 20, {}), ("d", 0.8, 1000, {}), ("c", 0.95, 10_000, {})]
    order = [3, 2, 0, 1]
    for done, first in enumerate(order):
        confirmed = [(*rows[one][:3], {"repeat_of": one, "division": 1}) for one in order[:done]]
        assert repeated(study(*rows, *confirmed)) == (first, 1)


def test_nothing_that_a_constant_prediction_beats():
    assert repeated(study(("a", 0.1, 10, {}))) is None
