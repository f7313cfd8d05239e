"""No training is spent on a recipe that was handed out before while others are left, whatever the sampler."""

from collections import Counter
from typing import get_args

import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from nasfuse.errors import InvalidInputError
from nasfuse.search import unvisited as unvisited_module
from nasfuse.search.progress import summarise
from nasfuse.search.storage import open_storage, sqlite_url
from nasfuse.spec.study import Sampler

#: 3 x 2 x 2 = 12 recipes.
TWELVE = {
    "fields": {
        "network.streams.left.width": {"choices": [8, 16, 32]},
        "network.streams.right.width": {"choices": [8, 16]},
        "training.epochs": {"int": [3, 4]},
    },
    "fixed": {"network.streams.*.encoder": "mlp"},
}

#: 3 recipes: the placement of the fusion exists where there is one.
CONDITIONAL = {
    "fields": {
        "network.route": {"choices": ["left", "left+right"]},
        "network.fusion.placement": {"int": [0, 1], "when": {"network.route": {"at_least": 2}}},
    },
    "fixed": {"network.streams.*.encoder": "mlp"},
}

#: 11 recipes, of numbers that Optuna and multiples of the step round differently.
STEPS = {
    "fields": {"network.dropout": {"float": [0.0, 0.5], "step": 0.05}},
    "fixed": {"network.streams.*.encoder": "mlp"},
}


@pytest.fixture
def make(open_scheduler, make_study):
    def open_one(storage=None, *, space=TWELVE, macs_of=None, check=None, **changes):
        study = make_study(space=space, **{"budget": {"trials": 100}, **changes})
        options = {"check": check} | ({"macs_of": macs_of} if macs_of else {})
        return open_scheduler(storage or InMemoryStorage(), study, **options)

    return open_one


def metric_of(assignment):
    widths = sum(stream.width for stream in assignment.recipe.network.streams.values())
    return 1 - 1 / (widths + assignment.recipe.training.epochs + assignment.seed % 7)


def run(scheduler, measured, *, n_trials=None, n_workers=1):
    """Keeps `n_workers` trials under way, the last one of which ends first; returns what was handed out."""
    running, done = [], []
    while scheduler.wants_more(running=len(running)) and (n_trials is None or len(done) < n_trials):
        assignment = scheduler.next() if len(running) < n_workers else None
        if assignment is not None:
            running.append(assignment)
            done.append(assignment)
        elif running:
            ended = running.pop(-1 if len(done) % 3 else 0)
            scheduler.finish(ended.number, measured(metric_of(ended), 64))
        else:
            assert not scheduler.wants_more(running=0), "nothing runs and nothing is handed out"
    for ended in running:
        scheduler.finish(ended.number, measured(metric_of(ended), 64))
    return done


def hashes(assignments):
    return [one.recipe.hash for one in assignments]


@pytest.mark.parametrize("n_workers", [1, 4])
@pytest.mark.parametrize("sampler", get_args(Sampler))
def test_every_sampler_visits_twelve_networks_in_twelve_trainings(make, measured, sampler, n_workers):
    scheduler = make(sampler=sampler)
    assert len(set(hashes(run(scheduler, measured, n_trials=12, n_workers=n_workers)))) == 12
    assert len(scheduler.trials()) == 12, "no draw was recorded that was not trained"


@pytest.mark.parametrize("sampler", ["known_cost", "tpe"])
def test_resumed_in_the_middle_after_a_crash(make, measured, tmp_path, sampler):
    storage = open_storage(sqlite_url(tmp_path / "study.db"))
    visited = hashes(run(make(storage, sampler=sampler), measured, n_trials=5))
    make(storage, sampler=sampler).next()  # dies with its driver
    visited += hashes(run(make(storage, sampler=sampler), measured, n_trials=7))
    assert len(set(visited)) == 12


@pytest.mark.parametrize("sampler", ["known_cost", "random"])
@pytest.mark.parametrize(("space", "n_recipes"), [(CONDITIONAL, 3), (STEPS, 11)])
def test_networks_are_compared_by_their_recipes(make, measured, sampler, space, n_recipes):
    scheduler = make(space=space, sampler=sampler)
    visited = hashes(run(scheduler, measured))
    assert len(visited) == len(set(visited)) == n_recipes
    assert scheduler.exhausted
    assert not scheduler.wants_more(running=0)


def test_failures_and_stopped_trainings_are_not_suggested_again(make, measured):
    scheduler = make(sampler="random")
    first, second = scheduler.next(), scheduler.next()
    scheduler.fail(first.number, "no mood")
    scheduler.stop(second.number, epoch=1, metric=0.1)
    rest = run(scheduler, measured)
    assert len({*hashes(rest), first.recipe.hash, second.recipe.hash}) == len(rest) + 2 == 12


def test_a_larger_space_is_searched_for_unvisited_networks_at_random(make, measured, monkeypatch):
    monkeypatch.setattr(unvisited_module, "MAX_ENUMERATED", 11)
    scheduler = make(sampler="random")
    assert len(set(hashes(run(scheduler, measured, n_trials=12)))) == 12
    assert not scheduler.exhausted
    assert run(scheduler, measured, n_trials=1)[0].number == 12, "a repeated recipe is better than none"


class TestTheEndOfASpace:
    @pytest.mark.parametrize("n_workers", [1, 2, 4])
    def test_the_front_is_confirmed_and_the_search_ends(self, make, measured, n_workers):
        scheduler = make(budget={"trials": 100, "repeats": 3}, sampler="random")
        assignments = run(scheduler, measured, n_workers=n_workers)
        assert scheduler.exhausted
        assert len(set(hashes(assignments))) == 12 < len(assignments) < 48
        progress = summarise(scheduler.trials(), scheduler.objectives)
        assert progress.front
        assert all(len(member.trainings) == 3 for member in progress.front)

    def test_the_repetitions_are_the_same_for_any_number_of_workers(self, make, measured):
        alone = run(make(budget={"trials": 100, "repeats": 3}, sampler="random"), measured)
        for n_workers in (2, 3, 4):
            scheduler = make(budget={"trials": 100, "repeats": 3}, sampler="random")
            assert run(scheduler, measured, n_workers=n_workers) == alone

    def test_resuming_an_ended_search_changes_nothing(self, make, measured):
        storage = InMemoryStorage()
        run(make(storage), measured)
        scheduler = make(storage)
        assert run(scheduler, measured) == []
        assert len(scheduler.trials()) == 12

    def test_below_max_macs(self, make, measured):
        """Widths of 8 and 8 alone, with two numbers of epochs; what is above is recorded once."""
        scheduler = make(max_macs=16, sampler="random")
        assert len(set(hashes(run(scheduler, measured)))) == 2
        assert scheduler.exhausted
        refused = [
            trial.frozen.user_attrs["recipe_hash"]
            for trial in scheduler.trials()
            if trial.frozen.state is TrialState.PRUNED
        ]
        assert len(refused) == len(set(refused)) <= 10

    def test_a_higher_limit_continues_the_search(self, make, measured):
        storage = InMemoryStorage()
        run(make(storage, max_macs=16, sampler="random"), measured)
        again = make(storage, sampler="random")
        assert len(set(hashes(run(again, measured)))) == 10

    def test_networks_that_cannot_be_trained_are_not_suggested(self, make, measured):
        def refuse(recipe):
            if recipe.training.epochs == 3:
                raise InvalidInputError("training.epochs: 3 is too few for these data; raise it")

        scheduler = make(check=refuse, sampler="tpe")
        assert len(set(hashes(run(scheduler, measured)))) == 6
        assert scheduler.exhausted
        reasons = Counter(
            t.frozen.user_attrs["reason"] for t in scheduler.trials() if t.frozen.state is TrialState.FAIL
        )
        assert set(reasons) <= {"no valid network: training.epochs: 3 is too few for these data; raise it"}
        assert reasons.total() <= 6


def test_hand_made_designs_of_one_recipe_are_trained_once(make, measured):
    baselines = {"a": {"training.epochs": 3}, "b": {"network.streams.left.width": 8}, "c": {"training.epochs": 4}}
    scheduler = make(space={**TWELVE, "baselines": baselines}, sampler="random")
    assignments = run(scheduler, measured, n_trials=12)
    assert [one.baseline for one in assignments[:3]] == ["a", "c", None]
    assert len(set(hashes(assignments))) == 12
