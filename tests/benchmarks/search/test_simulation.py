"""The simulated clock, with trainings of three epochs whose errors are known."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from benchmarks.search.engine import Engine
from benchmarks.search.problem import Problem
from benchmarks.search.simulation import epochs_until, hypervolume_at, simulate
from nasfuse.search.parameters import Parameter


class ThreeEpochs(Problem):
    """Every network has the errors .9, .6 and .5 and the cost 1."""

    name = "three epochs"
    parameters = (Parameter("width", CategoricalDistribution((1, 2)), default=1),)
    max_epochs = 3
    reference = (1.0, 2.0)
    best_hypervolume = 0.5

    def cost_of(self, params: Mapping[str, Any]) -> float:
        return 1.0

    def curve(self, params: Mapping[str, Any], *, seed: int) -> NDArray[np.float64]:
        return np.array([0.9, 0.6, 0.5])


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


class EverySecond:
    """Stops every second training after its first epoch, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[float, float], list[list[float]]]] = []

    def rungs(self, epochs: int) -> tuple[int, ...]:
        return (1,)

    def goes_on(self, own: tuple[float, float], earlier: ArrayLike, *, end: float, finished: ArrayLike) -> bool:
        self.asked.append((own, np.asarray(earlier).tolist()))
        return len(self.asked) % 2 == 1


def test_trainings_follow_one_another() -> None:
    run = simulate(ThreeEpochs(), Engine(lambda *_: Witness()), seed=0, full_trainings=4)
    assert [spent for spent, _ in run.steps] == [3, 6, 9, 12]
    assert [value for _, value in run.steps] == [0.5] * 4
    assert (run.epochs, run.n_complete, run.n_stopped) == (12, 4, 0)


def test_a_stopped_training_pays_what_it_ran() -> None:
    witness, rule = Witness(), EverySecond()
    run = simulate(ThreeEpochs(), Engine(lambda *_: witness, lambda: rule), seed=0, trials=4)
    assert [spent for spent, _ in run.steps] == [3, 3 + 1 + 3]
    assert (run.epochs, run.n_complete, run.n_stopped) == (3 + 1 + 3 + 1, 2, 2)
    assert rule.asked == [((0.9, 1.0), [[0.9, 1.0]] * number) for number in range(4)]
    stopped = witness.seen[-1][1]
    assert stopped.state is TrialState.PRUNED
    assert stopped.user_attrs["stopped"] == {"epoch": 1, "epochs": 3, "metric": 0.9, "log_cost": 1.0}


def test_workers_overlap() -> None:
    witness = Witness()
    run = simulate(ThreeEpochs(), Engine(lambda *_: witness), seed=0, trials=4, workers=2)
    assert [spent for spent, _ in run.steps] == [6, 6, 12, 12]
    running, complete = TrialState.RUNNING, TrialState.COMPLETE
    assert witness.states == [[], [running], [complete, complete], [complete, complete, running]]


def test_what_the_end_cuts_off_counts_for_nothing() -> None:
    run = simulate(ThreeEpochs(), Engine(lambda *_: Witness()), seed=0, full_trainings=1.5)
    assert (run.n_complete, run.epochs) == (1, 4.5)


@pytest.mark.parametrize("workers", [1, 4])
def test_the_same_seed_gives_the_same_run(workers: int) -> None:
    engine = Engine(lambda _, seed: RandomSampler(seed=seed))
    runs = [simulate(ThreeEpochs(), engine, seed=3, trials=9, workers=workers).steps for _ in range(2)]
    assert runs[0] == runs[1]


def test_hypervolume_over_epochs() -> None:
    steps = [(3.0, 0.2), (7.0, 0.5), (9.0, 0.5)]
    assert [hypervolume_at(steps, epochs) for epochs in (2, 3, 6.9, 7, 100)] == [0.0, 0.2, 0.2, 0.5, 0.5]
    assert [epochs_until(steps, value) for value in (0.1, 0.5, 0.6)] == [3.0, 7.0, np.inf]
