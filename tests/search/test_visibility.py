"""Which trials are trainings, and whose results a further one may depend on."""

from dataclasses import replace

import optuna
import pytest
from optuna.trial import TrialState

from nasfuse.search.trial import TrialView
from nasfuse.search.visibility import split_by_visibility, visibility_lag


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


@pytest.mark.parametrize(
    ("end", "visible"),
    [(7, []), (9, [0]), (13, [0, 2, 3, 4, 5]), (17, [0, 2, 3, 4, 5, 6, 7, 8, 9]), (30, list(range(23)))],
)
def test_a_long_training_is_waited_for_after_twice_its_time_of_work(end, visible):
    """Training 1 takes ten times as long as each of the others."""
    trials = [trial(number, expected_s=100.0 if number == 1 else 10.0) for number in range(30)]
    found = split_by_visibility(trials[:end], visibility_lag=8)
    assert [one.number for one in found[0]] == visible
    assert sorted(one.number for part in found for one in part) == list(range(end))


def test_where_all_trainings_are_long_none_is_hidden_for_longer():
    trials = [trial(number, expected_s=600.0) for number in range(30)]
    plain = [trial(number) for number in range(30)]
    for end in range(30):
        pairs = [split_by_visibility(some[:end], visibility_lag=8) for some in (trials, plain)]
        assert [len(part) for part in pairs[0]] == [len(part) for part in pairs[1]]


def test_no_training_is_hidden_for_ever():
    trials = [trial(number, expected_s=1e6 if number == 1 else 1.0) for number in range(80)]
    assert [
        1 in {one.number for one in split_by_visibility(trials[:end], visibility_lag=8)[0]} for end in (60, 61)
    ] == [
        False,
        True,
    ]
