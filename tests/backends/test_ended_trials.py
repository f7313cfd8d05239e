"""Trials that have ended leave Tune, as soon as it has done with them."""

from types import SimpleNamespace

from nasfuse.backends.ended_trials import EndedTrials


class Trial:
    """A trial of Tune."""

    def __init__(self, *, is_finished=True):
        self.finished = is_finished

    def is_finished(self):
        """Returns whether Tune has stopped it."""
        return self.finished


def controller_of(trials):
    kept = ("_stopped_trials", "_failed_trials", "_live_trials", "_trials_to_cache")
    return SimpleNamespace(_trials=list(trials), _trial_to_actor={}, **{name: set(trials) for name in kept})


def test_all_but_the_last_are_forgotten_everywhere():
    trials = [Trial(), Trial(), Trial()]
    controller, ended = controller_of(trials), EndedTrials()
    for one in trials:
        ended.add(one)
    ended.forget(controller)
    assert controller._trials == trials[-1:]
    assert controller._stopped_trials == controller._failed_trials == controller._live_trials == {trials[-1]}


def test_one_that_tune_still_stops_is_kept():
    trials = [Trial(is_finished=False), Trial(), Trial()]
    controller, ended = controller_of(trials), EndedTrials()
    for one in trials:
        ended.add(one)
    controller._trial_to_actor[trials[1]] = "worker"
    ended.forget(controller)
    assert controller._trials == trials


def test_an_end_that_is_told_twice_counts_once():
    trials = [Trial(), Trial()]
    controller, ended = controller_of(trials), EndedTrials()
    for one in (trials[0], trials[0], trials[1]):
        ended.add(one)
    ended.forget(controller)
    ended.forget(controller)
    assert controller._trials == trials[-1:]
