"""Importance of parameters for the front."""

import random

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from nasfuse.search.importance import LEAST_TRAININGS, parameter_importance
from nasfuse.search.trial import TrialView


def trials(count, *, better):
    """Trainings whose metric is `better` at a large x, whose cost is constant, and in which y has no effect."""
    draw = random.Random(0)
    space = {"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1), "z": CategoricalDistribution(["a"])}
    found = []
    for number in range(count):
        x, y = draw.random(), draw.random()
        conditional = {"z": "a"} if x > 0.2 else {}
        params = {"x": x, "y": y, **conditional}
        frozen = optuna.create_trial(
            state=TrialState.COMPLETE,
            values=[better * x, 3.0],
            params=params,
            distributions={name: space[name] for name in params},
        )
        frozen.number = number
        found.append(TrialView(frozen))
    return found


def test_the_parameter_that_decides_comes_first():
    for metric, better in (("accuracy", 1), ("mae", -1)):
        found = parameter_importance(trials(60, better=better), metric)
        assert next(iter(found)) == "x"
        assert found["x"] > 0.7
        assert abs(sum(found.values()) - 1) < 1e-9
        assert found["z"] == 0, "it has one value"


def test_few_trainings_say_nothing():
    assert parameter_importance(trials(LEAST_TRAININGS - 1, better=1), "accuracy") == {}
    assert parameter_importance(trials(LEAST_TRAININGS, better=1), "accuracy")


def test_other_trials_do_not_count():
    known = trials(LEAST_TRAININGS, better=1)
    for trial, key in zip(known, ("point_of", "repeat_of"), strict=False):
        trial.frozen.set_user_attr(key, 0)
    assert parameter_importance(known, "accuracy") == {}
