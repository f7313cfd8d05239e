"""What the storage says: both objectives minimised, and every kind of trial in its place."""

import numpy as np
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from nasfuse.search.samplers import Domain
from nasfuse.search.samplers.training_data import Observations

X = {"x": FloatDistribution(0, 1)}
DOMAIN = Domain.unconditional(X)


def trial(x, values=None, **more):
    return {"params": {"x": x}, "distributions": X, "values": values, **more}


def observed(make_study, trials, **more):
    study = make_study(trials, **more)
    return Observations.from_study(study, DOMAIN, besides=study.ask())


def test_both_are_minimised(make_study):
    seen = observed(make_study, [trial(0.1, [0.9, 2.0]), trial(0.2, [0.8, 1.0])], directions=("maximize", "minimize"))
    assert seen.errors.tolist() == [-0.9, -0.8]
    assert seen.costs.tolist() == [2.0, 1.0]
    assert seen.rows.tolist() == [[0.1], [0.2]]
    assert seen.n_trainings == 2


def test_a_stopped_trial_is_observed_at_the_end_that_is_expected_of_it(make_study):
    """The full training came from 1 + .5 to 1 from epoch 3 on, on the scale that one training alone has."""
    stopped = {"epoch": 3, "epochs": 12, "metric": 0.9, "log_cost": 1.5}
    seen = observed(
        make_study,
        [
            trial(0.1, [0.2, 2.0], user_attrs={"epochs": 12, "rungs": {"3": 0.7}}),
            trial(0.3, state=TrialState.PRUNED, user_attrs={"stopped": stopped}),
            trial(0.4, state=TrialState.PRUNED, user_attrs={"reason": "too costly"}),
        ],
    )
    assert seen.finished.tolist() == [True, False]
    assert seen.errors[1] == pytest.approx(0.2 + 1.7 / 1.5 - 1) and seen.costs[1] == 1.5
    assert (seen.n_trainings, seen.n_full) == (2, 1)
    assert seen.rows.tolist() == [[0.1], [0.3]]


def test_what_inherited_weights_is_marked_and_extrapolated_by_its_like(make_study):
    heir = {"inherited": {"left": 0}}
    stopped = {"epoch": 3, "epochs": 12, "metric": 0.5, "log_cost": 1.5}
    seen = observed(
        make_study,
        [
            trial(0.1, [0.2, 2.0], user_attrs={"epochs": 12, "rungs": {"3": 0.7}}),
            trial(0.2, [0.2, 2.0], user_attrs={"epochs": 12, "rungs": {"3": 0.3}, **heir}),
            trial(0.3, state=TrialState.PRUNED, user_attrs={"stopped": stopped, **heir}),
            trial(0.4, [0.3, 2.0], user_attrs={"point_of": 1, **heir}),
            trial(0.5, [0.3, 2.0], user_attrs={**heir, "from_scratch": "no such file"}),
        ],
    )
    assert seen.inherited.tolist() == [False, True, True, True, False]
    assert seen.finished.tolist() == [True, True, False, True, True]
    assert seen.errors[2] == pytest.approx(0.2 + 1.3 / 1.1 - 1)


def test_an_operating_point_is_an_observation_and_no_training(make_study):
    seen = observed(make_study, [trial(0.1, [0.2, 2.0]), trial(0.3, [0.3, 1.0], user_attrs={"point_of": 0})])
    assert (len(seen.rows), seen.n_trainings) == (2, 1)


def test_failed_running_and_asking_trials(make_study):
    infinite = trial(0.5, [np.inf, 1.0])
    huge = trial(0.6, [1.0, -1e200])
    trials = [trial(0.1, state=TrialState.FAIL), trial(0.2, state=TrialState.RUNNING), infinite, huge]
    study = make_study(trials)
    asking = study.ask({"x": FloatDistribution(0, 1)})
    seen = Observations.from_study(study, DOMAIN, besides=study.get_trials()[asking.number])
    assert seen.failed.tolist() == [[0.1], [0.5], [0.6]]
    assert seen.pending.tolist() == [[0.2]]
    assert len(seen.rows) == 0
    assert seen.taken == {np.array([x]).tobytes() for x in (0.1, 0.2, 0.5, 0.6)}


def test_trials_of_other_parameters_are_left_out(make_study):
    other = {"y": FloatDistribution(0, 1)}
    study = make_study([{"params": {"y": 0.1}, "distributions": other, "values": [1.0, 1.0]}, trial(0.1, [1.0, 1.0])])
    assert len(Observations.from_study(study, DOMAIN, besides=study.ask()).rows) == 1


def test_an_empty_study(make_study):
    seen = observed(make_study, [])
    assert seen.rows.shape == (0, 1) and seen.n_trainings == 0
    assert isinstance(seen.taken, set) and not seen.taken
