"""Samplers: each is known by name, seeded, and able to search a conditional space of two objectives."""

from typing import get_args

import optuna
import pytest

from nasfuse.search.samplers import make_sampler
from nasfuse.spec.study import Sampler


def run(name, *, n_trials=14, seed=3):
    study = optuna.create_study(directions=["maximize", "minimize"])
    drawn = []
    for number in range(n_trials):
        study.sampler = make_sampler(name, seed, number=number)
        trial = study.ask()
        x = trial.suggest_float("x", 0, 1)
        kind = trial.suggest_categorical("kind", ["a", "b"])
        y = trial.suggest_int("y", 1, 9) if kind == "a" else 0
        drawn.append((x, kind, y))
        if number % 5 == 4:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, [x, y - x])
    return drawn


@pytest.mark.parametrize("name", get_args(Sampler))
def test_the_same_seed_gives_the_same_suggestions(name, recwarn):
    assert run(name) == run(name)
    assert run(name) != run(name, seed=4)
    assert not [warning for warning in recwarn if "nasfuse" in str(warning.filename)]
