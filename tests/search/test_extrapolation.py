"""Extrapolation of stopped trainings, by hand-computed lines."""

import optuna
import pytest
from optuna.trial import TrialState

from nasfuse.search.extrapolation import Extrapolation


def full(reached, ended, *, epochs=9, **attributes):
    attributes = {"rungs": {"3": reached}, "epochs": epochs, **attributes}
    return optuna.trial.create_trial(values=[ended, 1.0], user_attrs=attributes)


def end(extrapolation, **at):
    return expected(extrapolation, **at)[0]


def expected(extrapolation, *, metric, epoch=3, inherited=False):
    return extrapolation.end(epoch=epoch, epochs=9, metric=metric, inherited=inherited)


def test_without_full_trainings_it_is_what_was_reached():
    assert end(Extrapolation([]), metric=0.4) == 0.4


def test_few_full_trainings_give_their_mean_gain():
    trials = [full(0.5, 0.8), full(0.6, 0.7)]
    assert end(Extrapolation(trials), metric=0.4) == pytest.approx(0.4 + 0.2)


def test_more_give_a_line():
    """Ends are .7 + .5 (reached - .4): what is behind by .2 ends behind by .1."""
    trials = [full(x, 0.7 + 0.5 * (x - 0.4)) for x in (0.2, 0.3, 0.4, 0.5, 0.6)]
    assert end(Extrapolation(trials), metric=0.1) == pytest.approx(0.7 - 0.15)


def test_what_is_behind_is_not_expected_to_end_ahead():
    trials = [full(x, 0.7 - 0.5 * (x - 0.4)) for x in (0.2, 0.3, 0.4, 0.5, 0.6)]
    assert end(Extrapolation(trials), metric=0.1) == pytest.approx(0.7)


def test_only_trainings_of_the_same_length_and_rung_count():
    trials = [full(0.5, 0.8, epochs=27), full(float("nan"), 0.8)]
    assert end(Extrapolation(trials), metric=0.4) == 0.4
    assert end(Extrapolation([full(0.5, 0.8)]), metric=0.4, epoch=1) == 0.4


def test_trainings_from_inherited_weights_have_lines_of_their_own():
    trials = [full(0.5, 0.8), full(0.7, 0.8, inherited={"left": 0})]
    assert end(Extrapolation(trials), metric=0.4) == pytest.approx(0.4 + 0.3)
    assert end(Extrapolation(trials), metric=0.4, inherited=True) == pytest.approx(0.4 + 0.1)


def test_trainings_without_an_end_are_no_reference():
    stopped = optuna.trial.create_trial(state=TrialState.PRUNED, user_attrs={"rungs": {"3": 0.1}, "epochs": 9})
    assert end(Extrapolation([stopped]), metric=0.4) == 0.4


class TestDoubt:
    def test_of_a_line_it_is_the_variance_around_it(self):
        """Residuals of +- .1 that no line explains: their squares over five points less the line's two numbers."""
        trials = [full(x, 0.5 + off) for x, off in ((0.2, 0.1), (0.3, -0.1), (0.4, 0.0), (0.5, -0.1), (0.6, 0.1))]
        assert expected(Extrapolation(trials), metric=0.4) == pytest.approx((0.5, 0.04 / 3))

    def test_of_a_mean_gain_it_is_the_variance_of_gains(self):
        trials = [full(0.5, 0.8), full(0.6, 0.7)]
        assert expected(Extrapolation(trials), metric=0.4)[1] == pytest.approx(0.02)

    def test_of_one_gain_it_is_its_square(self):
        assert expected(Extrapolation([full(0.5, 0.8)]), metric=0.4) == pytest.approx((0.7, 0.09))

    def test_without_any_there_is_none(self):
        assert expected(Extrapolation([]), metric=0.4) == (0.4, 0.0)
