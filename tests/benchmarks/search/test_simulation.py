"""Searches on simulated workers: plain loops of Optuna, and studies through the driver and the scheduler of nasfuse."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from benchmarks.search.engine import ENGINES, Engine, OptunaEngine, StudyEngine
from benchmarks.search.problem import Problem
from benchmarks.search.simulation import epochs_until, hypervolume_at, simulate
from nasfuse.search import suggestions
from nasfuse.search.parameters import Parameter


class ThreeEpochs(Problem):
    """Every network has the errors .9, .6 and .5 and the cost 1."""

    name = "three-epochs"
    parameters = (Parameter("width", CategoricalDistribution((1, 2)), default=1),)
    max_epochs = 3
    reference = (1.0, 2.0)
    best_hypervolume = 0.5

    def cost_of(self, params: Mapping[str, Any]) -> float:
        return 1.0

    def curve(self, params: Mapping[str, Any], *, seed: int) -> NDArray[np.float64]:
        return np.array([0.9, 0.6, 0.5])


class NineEpochs(Problem):
    """Errors fall to a value that does not depend on the cost; remembers what was trained, and with which seeds."""

    name = "nine-epochs"
    parameters = tuple(Parameter(name, FloatDistribution(0.0, 1.0), default=0.5) for name in ("error", "cost"))
    max_epochs = 9
    reference = (2.0, 1.1)
    best_hypervolume = 2.2

    def __init__(self) -> None:
        self.trained: list[tuple[dict[str, Any], int]] = []

    def cost_of(self, params: Mapping[str, Any]) -> float:
        return float(params["cost"])

    def curve(self, params: Mapping[str, Any], *, seed: int) -> NDArray[np.float64]:
        self.trained.append((dict(params), seed))
        return params["error"] + np.arange(8, -1, -1) / 9


class Witness(RandomSampler):
    """Remembers the states of the trials whenever it is asked for a new one."""

    def __init__(self) -> None:
        super().__init__(seed=0)
        self.seen: list[list[FrozenTrial]] = []

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        self.seen.append(study.get_trials())
        return super().infer_relative_search_space(study, trial)

    @property
    def states(self) -> list[list[TrialState]]:
        return [[trial.state for trial in trials[:-1]] for trials in self.seen]


def plain(sampler: RandomSampler) -> Engine:
    return OptunaEngine(lambda _: sampler)


class TestPlainLoops:
    def test_trainings_follow_one_another(self) -> None:
        run = simulate(ThreeEpochs(), plain(Witness()), seed=0, full_trainings=4)
        assert [spent for spent, _ in run.steps] == [3, 6, 9, 12]
        assert [value for _, value in run.steps] == [0.5] * 4
        assert (run.epochs, run.n_complete, run.n_stopped) == (12, 4, 0)
        assert len(run.suggestion_s) == 4

    def test_workers_overlap(self) -> None:
        witness = Witness()
        run = simulate(ThreeEpochs(), plain(witness), seed=0, trials=4, workers=2)
        assert [spent for spent, _ in run.steps] == [6, 6, 12, 12]
        running, complete = TrialState.RUNNING, TrialState.COMPLETE
        assert witness.states == [[], [running], [complete, complete], [complete, complete, running]]
        assert [trial.values for trial in witness.seen[-1][:2]] == [[0.5, 1.0]] * 2

    def test_a_training_that_ends_after_the_budget_is_not_counted(self) -> None:
        run = simulate(ThreeEpochs(), plain(Witness()), seed=0, full_trainings=1.5)
        assert (run.n_complete, run.epochs) == (1, 4.5)


class TestStudies:
    def test_the_budget_of_time_is_counted_in_epochs(self) -> None:
        run = simulate(NineEpochs(), StudyEngine("random"), seed=0, full_trainings=4.5)
        assert [spent for spent, _ in run.steps] == [9, 18, 27, 36]
        assert (run.epochs, run.n_complete, run.n_stopped) == (4.5 * 9, 4, 0)

    def test_epochs_may_take_longer_with_more_macs_and_a_sampler_be_told(self) -> None:
        problem = NineEpochs()
        assert np.mean([problem.epoch_s(share * problem.mean_macs) for share in (0.5, 1.5)]) == pytest.approx(1)
        trained = []
        for engine in (StudyEngine("known_cost"), StudyEngine("known_cost", knows_durations=True)):
            problem = NineEpochs()
            run = simulate(problem, engine, seed=1, trials=24, by_macs=True)
            assert run.steps[0][0] < 9
            trained.append(problem.trained)
        assert trained[0][:17] == trained[1][:17]
        assert trained[0] != trained[1]

    def test_a_stopped_training_pays_what_it_ran(self) -> None:
        full = simulate(NineEpochs(), StudyEngine("random"), seed=0, trials=30)
        run = simulate(NineEpochs(), StudyEngine("random", stopping=True), seed=0, trials=30)
        assert full.epochs == 30 * 9
        assert run.n_complete + run.n_stopped == 30
        assert run.n_stopped > 3
        least, most = (9 * run.n_complete + epochs * run.n_stopped for epochs in (1, 3))
        assert least <= run.epochs <= most, "the rungs of nine epochs are 1 and 3"

    def test_trainings_are_the_same_for_any_number_of_workers(self) -> None:
        """The scheduler does not show the last results, so suggestions and stops do not depend on the workers."""
        trained = []
        for workers in (1, 4):
            problem = NineEpochs()
            simulate(problem, StudyEngine("tpe", stopping=True), seed=0, trials=30, workers=workers)
            trained.append(problem.trained)
        assert trained[0] == trained[1]

    def test_the_default_study_confirms_its_front_in_the_last_fifth(self) -> None:
        for engine, repeated in (("known-cost", 0), ("nasfuse", 4)):
            problem = NineEpochs()
            simulate(problem, ENGINES[engine], seed=0, trials=20)
            points = [params for params, _ in problem.trained]
            assert len(points) == 20
            assert sum(points.count(params) > 1 for params in points[16:]) == repeated
            assert len({seed for _, seed in problem.trained}) == 20

    @pytest.mark.parametrize(
        ("engine", "workers", "n_hidden"), [("nasfuse", 1, 7), ("nasfuse+visible", 1, 0), ("nasfuse+visible", 3, 2)]
    )
    def test_how_many_results_a_suggestion_does_not_see(
        self, engine: str, workers: int, n_hidden: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        study, witness = replace(ENGINES[engine], sampler="random", stopping=False), Witness()
        monkeypatch.setattr(suggestions, "make_sampler", lambda *_, **__: witness)
        simulate(NineEpochs(), study, seed=0, trials=20, workers=workers)
        assert [states.count(TrialState.RUNNING) for states in witness.states[7:]] == [n_hidden] * 9


@pytest.mark.parametrize("engine", [OptunaEngine(lambda seed: RandomSampler(seed=seed)), StudyEngine("tpe", True, 2)])
@pytest.mark.parametrize("workers", [1, 4])
def test_the_same_seed_gives_the_same_run(engine: Engine, workers: int) -> None:
    first, again = (simulate(NineEpochs(), engine, seed=3, trials=15, workers=workers) for _ in range(2))
    assert first.steps == again.steps
    assert first.steps != simulate(NineEpochs(), engine, seed=4, trials=15, workers=workers).steps


def test_hypervolume_over_epochs() -> None:
    steps = [(3.0, 0.2), (7.0, 0.5), (9.0, 0.5)]
    assert [hypervolume_at(steps, epochs) for epochs in (2, 3, 6.9, 7, 100)] == [0.0, 0.2, 0.2, 0.5, 0.5]
    assert [epochs_until(steps, value) for value in (0.1, 0.5, 0.6)] == [3.0, 7.0, np.inf]
