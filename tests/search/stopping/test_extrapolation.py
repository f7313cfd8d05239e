"""Extrapolation of stopped trainings, by hand: distances from best - scale, in scales, that lines multiply."""

import math

import optuna
import pytest
from optuna.trial import TrialState

from nasfuse.search.stopping.extrapolation import Extrapolation
from nasfuse.search.trial import TrialView

#: Ends of .2 and .4: best .2, scale .1. So distances of 4 and 7 at the rung have become 1 and 3, 3.06 times less.
TWO = ((0.5, 0.2), (0.8, 0.4))
FACTOR = math.sqrt(4 / 1 * 7 / 3)

#: Ends of .1 to .5: best .1, scale .2.
DISTANCES = (1.0, 1.5, 2.0, 2.5, 3.0)


def full(reached, ended, *, epochs=9, **attributes):
    attributes = {"rungs": {"3": reached}, "epochs": epochs, **attributes}
    return TrialView(optuna.trial.create_trial(values=[ended, 1.0], user_attrs=attributes))


def five(reached):
    """Trainings that ended at `DISTANCES`, from distances `reached`."""
    return [full(0.1 + 0.2 * (d - 1), 0.1 + 0.2 * (end - 1)) for d, end in zip(reached, DISTANCES, strict=True)]


def end(trials, **at):
    return expected(trials, **at)[0]


def expected(trials, *, metric, epoch=3, inherited=False, sign=1.0):
    return Extrapolation(trials, sign=sign).end(epoch=epoch, epochs=9, metric=metric, inherited=inherited)


def test_without_full_trainings_the_current_value_is_returned():
    assert end([], metric=0.4) == 0.4


def test_few_full_trainings_give_their_mean_gain():
    """A distance of 5 comes down by the mean factor."""
    assert end([full(*one) for one in TWO], metric=0.6) == pytest.approx(0.2 + 0.1 * (5 / FACTOR - 1))


def test_a_metric_that_is_maximised_is_its_negative_minimised():
    trials = [full(-reached, -ended) for reached, ended in TWO]
    found, variance = expected(trials, metric=-0.6, sign=-1.0)
    assert (-found, variance) == pytest.approx(expected([full(*one) for one in TWO], metric=0.6))


def test_more_give_a_line():
    """Ends are the roots of what was reached, a slope of 1/2: 16 ends at 4."""
    assert end(five([d**2 for d in DISTANCES]), metric=0.1 + 0.2 * 15) == pytest.approx(0.1 + 0.2 * 3)


def test_a_worse_training_is_not_expected_to_end_better():
    mean = math.prod(DISTANCES) ** (1 / 5)
    assert end(five([9 / d for d in DISTANCES]), metric=3.0) == pytest.approx(0.1 + 0.2 * (mean - 1))


def test_only_trainings_of_the_same_length_and_rung_count():
    assert end([full(0.5, 0.2, epochs=27), full(float("nan"), 0.2)], metric=0.4) == 0.4
    assert end([full(0.5, 0.2)], metric=0.4, epoch=1) == 0.4


def test_trainings_from_inherited_weights_have_lines_of_their_own():
    """With ends that are all the same the scale is 1."""
    trials = [full(0.5, 0.2), full(0.3, 0.2, inherited={"left": 0})]
    assert end(trials, metric=0.6) == pytest.approx(0.2 + 1.4 / 1.3 - 1)
    assert end(trials, metric=0.6, inherited=True) == pytest.approx(0.2 + 1.4 / 1.1 - 1)


def test_trainings_without_an_end_are_no_reference():
    stopped = optuna.trial.create_trial(state=TrialState.PRUNED, user_attrs={"rungs": {"3": 0.1}, "epochs": 9})
    assert end([TrialView(stopped)], metric=0.4) == 0.4


class TestDoubt:
    """Variances of logarithms, times the square of the distance where they are expected."""

    def test_of_a_line_it_is_the_variance_around_it(self):
        """Ends that what was reached does not explain: squares over five points less the line's two numbers."""
        logs = [math.log(d) for d in DISTANCES]
        mean = sum(logs) / 5
        variance = sum((one - mean) ** 2 for one in logs) / 3
        found = expected(five([9 / d for d in DISTANCES]), metric=3.0)
        assert found[1] == pytest.approx(variance * (0.2 * math.exp(mean)) ** 2)

    def test_of_a_mean_gain_it_is_the_variance_of_gains(self):
        variance = (math.log(4) - math.log(7 / 3)) ** 2 / 2
        found = expected([full(*one) for one in TWO], metric=0.6)
        assert found[1] == pytest.approx(variance * (0.1 * 5 / FACTOR) ** 2)

    def test_of_one_gain_it_is_its_square(self):
        assert expected([full(0.5, 0.2)], metric=0.6)[1] == pytest.approx((math.log(1.3) * 1.4 / 1.3) ** 2)

    def test_without_any_there_is_none(self):
        assert expected([], metric=0.4) == (0.4, 0.0)
