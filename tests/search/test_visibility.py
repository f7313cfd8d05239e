"""Which trials are trainings, and whose results a further one may depend on."""

from dataclasses import replace

import optuna
import pytest
from optuna.trial import TrialState

from nasfuse.search.trial import TrialView
from nasfuse.search.visibility import own_visibility_lag, split_by_visibility, visibility_lag


def trial(number, state=TrialState.COMPLETE, **attributes):
    values = [0.5, 1.0] if state is TrialState.COMPLETE else None
    made = optuna.create_trial(state=state, values=values, user_attrs={"recipe_hash": "a", **attributes})
    made.number = number
    return TrialView(made)


def draw(number, state):
    made = trial(number, state)
    made.frozen.user_attrs = {}
    return made


@pytest.mark.parametrize(
    ("one", "handed_out", "trained"),
    [
        (trial(0), True, True),
        (trial(0, TrialState.RUNNING), True, False),
        (trial(0, TrialState.FAIL), True, True),
        (replace(trial(0, TrialState.FAIL), is_void=True), False, False),
        (trial(0, TrialState.PRUNED, stopped={"epoch": 1}), True, True),
        (trial(0, TrialState.PRUNED, reason="too costly"), False, False),
        (draw(0, TrialState.FAIL), False, False),
        (draw(0, TrialState.WAITING), False, False),
        (draw(0, TrialState.COMPLETE), False, False),
    ],
)
def test_kinds_of_trials(one, handed_out, trained):
    assert (one.was_handed_out, one.was_trained) == (handed_out, trained)


@pytest.mark.parametrize(
    ("attributes", "inherited"),
    [
        ({}, False),
        ({"inherited": {}}, False),
        ({"inherited": {"left": 3}}, True),
        ({"inherited": {"left": 3}, "from_scratch": "no such file"}, False),
    ],
)
def test_trainings_from_inherited_weights(attributes, inherited):
    assert trial(9, **attributes).is_inherited is inherited


@pytest.mark.parametrize(
    ("workers", "n_trials", "lag"),
    [
        (1, None, 8),
        (4, None, 8),
        (4, 10, 8),  # any number of workers up to four gives the same trials
        (5, None, 10),
        (6, 45, 12),
        (20, 30, 20),  # no worker is idle
        (20, 60, 30),
        (100, None, 200),
        (100, 200, 100),
    ],
)
def test_many_workers_hide_at_most_half_of_a_study(workers, n_trials, lag):
    assert visibility_lag(workers=workers, n_trials=n_trials) == lag


TRIALS = [
    trial(0),
    draw(1, TrialState.FAIL),
    trial(2),
    trial(3, TrialState.PRUNED),
    trial(4, TrialState.RUNNING),
    trial(5),
]


@pytest.mark.parametrize(
    ("lag", "number", "visible", "hidden"),
    [
        (1, None, [0, 2, 4, 5], []),
        (2, None, [0, 2, 4], [5]),
        (4, None, [0], [2, 4, 5]),
        (9, None, [], [0, 2, 4, 5]),
        (2, 4, [0], [2]),
        (2, 0, [], []),
    ],
)
def test_the_last_few_trainings_are_hidden(lag, number, visible, hidden):
    found = split_by_visibility(TRIALS, visibility_lag=lag, number=number)
    assert [[one.number for one in part] for part in found] == [visible, hidden]


def test_a_long_training_is_hidden_for_longer_than_those_beside_it():
    trials = [trial(number, visibility_lag=5 if number == 1 else None) for number in range(8)]
    for end, visible in ((4, [0, 2]), (5, [0, 2, 3]), (6, [0, 1, 2, 3, 4])):
        found = split_by_visibility(trials[:end], visibility_lag=2)
        assert [one.number for one in found[0]] == visible
        assert sorted(one.number for part in found for one in part) == list(range(end))


@pytest.mark.parametrize(
    ("seconds", "short_s", "own"),
    [(5, 1, None), (40, 1, None), (60, 1, 12), (200, 1, 40), (600, 1, 60), (200, 100, None), (200, 20, 20)],
)
def test_the_lag_of_a_training_follows_its_time_beside_that_of_short_ones(seconds, short_s, own):
    """Of ten minutes, ten seconds are short. Where all trainings are long, none is waited for less than before."""
    assert own_visibility_lag(seconds, short_s=short_s, budget_s=600, visibility_lag=8) == own
