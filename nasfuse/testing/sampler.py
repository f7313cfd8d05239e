"""The conformance suite of samplers."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

#: Builds the sampler of one trial: `make_sampler(seed, number=3)`.
MakeSampler = Callable[..., BaseSampler]


class SamplerSuite:
    """What holds for every sampler that the scheduler builds anew for each trial.

    Suggestions that depend on the seed, the trial's number and the stored trials alone, in a conditional space of two
    objectives with failed and running trials; values inside their distributions; no warning.

    Optuna ships a suite for the interface itself, `optuna.testing.pytest_samplers`.

    Example:
        A module of tests for a sampler of another package::

            class TestAnnealing(SamplerSuite):
                @pytest.fixture
                def make_sampler(self):
                    return lambda seed, *, number: AnnealingSampler(seed=1000 * seed + number)
    """

    @pytest.fixture
    def make_sampler(self) -> MakeSampler:
        """Override: builds the sampler for trial `number` of a study with `seed`."""
        raise NotImplementedError("override the fixture make_sampler of SamplerSuite")

    def test_same_seed_gives_the_same_suggestions(self, make_sampler: MakeSampler) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", module="nasfuse")
            first, again, other = (_search(make_sampler, seed=seed) for seed in (3, 3, 4))
        assert [trial.params for trial in first] == [trial.params for trial in again]
        assert [trial.params for trial in first] != [trial.params for trial in other]

    def test_suggestion_depends_on_the_stored_trials_and_not_on_the_process(self, make_sampler: MakeSampler) -> None:
        """A study that is loaded anew after ten trials goes on as the one that was never interrupted."""
        whole = _search(make_sampler, seed=3)
        loaded = _study()
        loaded.add_trials(whole[:10])
        resumed = _search(make_sampler, seed=3, study=loaded)
        assert [trial.params for trial in resumed] == [trial.params for trial in whole]

    def test_values_are_inside_their_distributions(self, make_sampler: MakeSampler) -> None:
        for trial in _search(make_sampler, seed=5):
            # raises ValueError for a value that its distribution does not contain
            create_trial(state=TrialState.FAIL, params=trial.params, distributions=trial.distributions)
            assert ("y" in trial.params) == (trial.params["kind"] == "a")

    def test_suggestions_differ_from_trial_to_trial(self, make_sampler: MakeSampler) -> None:
        numbers = [trial.params["x"] for trial in _search(make_sampler, seed=5)]
        assert len(set(numbers)) > len(numbers) // 2

    def test_running_trials_do_not_stop_it(self, make_sampler: MakeSampler) -> None:
        study = _study()
        for number in range(4):
            _suggest(study, make_sampler(0, number=number))
        assert all(trial.state == TrialState.RUNNING for trial in study.get_trials())


def _study() -> optuna.Study:
    return optuna.create_study(directions=["maximize", "minimize"])


def _suggest(study: optuna.Study, sampler: BaseSampler) -> tuple[optuna.Trial, dict[str, Any]]:
    """Returns a new trial of a conditional space: `y` exists where `kind` is a."""
    study.sampler = sampler
    trial = study.ask()
    x = trial.suggest_float("x", 0, 1)
    rate = trial.suggest_float("rate", 1e-4, 1e-1, log=True)
    kind = trial.suggest_categorical("kind", ["a", "b"])
    y = trial.suggest_int("y", 1, 9) if kind == "a" else 0
    return trial, {"x": x, "y": y, "rate": rate}


def _search(make_sampler: MakeSampler, *, seed: int, study: optuna.Study | None = None) -> list[FrozenTrial]:
    """Returns 14 trials, those that `study` has included; every fifth fails."""
    study = study or _study()
    for number in range(len(study.get_trials()), 14):
        trial, values = _suggest(study, make_sampler(seed, number=number))
        if number % 5 == 4:
            study.tell(trial, state=TrialState.FAIL)
        else:
            study.tell(trial, [values["x"], values["y"] - values["x"] + math.log10(values["rate"])])
    return study.get_trials()
