"""A conditional domain of three kinds of parameters, and studies of it."""

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from nasfuse.search.parameters import Condition, Parameter
from nasfuse.search.samplers import Domain


@pytest.fixture
def domain():
    """kind: a or b; depth: exists for a; width: numbers out of order; lr: a log range, exists by a constant."""
    return Domain(
        [
            Parameter("kind", CategoricalDistribution(["a", "b", "c"]), "a"),
            Parameter("depth", IntDistribution(1, 4), 1, (Condition("kind", values=("a",)),)),
            Parameter("width", CategoricalDistribution([32, 8, 16]), 8),
            Parameter("lr", FloatDistribution(1e-4, 1e-1, log=True), 1e-2, (Condition("fixed", values=(1,)),)),
        ],
        constants={"fixed": 1},
    )


@pytest.fixture
def make_study():
    def make(trials, *, directions=("minimize", "minimize")):
        """`trials`: (parameters, values, or a state without them) or complete keyword arguments."""
        study = optuna.create_study(directions=list(directions))
        for trial in trials:
            study.add_trial(optuna.create_trial(**trial))
        return study

    return make
