"""Which hand-made designs are trained, and when."""

import pytest
from optuna.storages import InMemoryStorage

from nasfuse.errors import ConfigError, InvalidInputError
from nasfuse.spec.space import SpaceConfig

#: Eight designs; a network costs the sum of its widths.
FIELDS = {
    "network.route": {"subsets": True},
    "network.streams.*.width": {"choices": [8, 16, 32, 64, 128], "when": {"network.route": {"has": "*"}}},
    "training.lr": {"float": [1e-3, 1e-1], "log": True},
}
WIDTHS = {"wide": 64, "small": 8, "middle": 32, "medium": 16}
SPACE = {
    "fields": FIELDS,
    "fixed": {"network.streams.*.encoder": "mlp"},
    "baselines": {
        **{name: {"network.route": "all", "network.streams.*.width": width} for name, width in WIDTHS.items()},
        "one": {"network.route": "each", "network.streams.*.width": 16},
    },
    "recommended": ["middle"],
}


@pytest.fixture
def make(open_scheduler, make_study):
    def open_one(storage=None, *, space=SPACE, check=None, clock=lambda: 0.0, seconds_of=None, **changes):
        study = make_study(space=space, **{"budget": {"trials": 60}, **changes})
        return open_scheduler(storage or InMemoryStorage(), study, check=check, clock=clock, seconds_of=seconds_of)

    return open_one


def run(scheduler, measured, *, n_trials):
    done = []
    for _ in range(n_trials):
        one = scheduler.next()
        scheduler.finish(one.number, measured(0.5 + one.number / 1000, 64))
        done.append(one)
    return done


def designs(assignments):
    return [one.baseline for one in assignments if one.baseline]


def test_recommended_ones_first_then_by_macs(make, measured):
    first = run(make(), measured, n_trials=8)
    assert designs(first) == ["middle", "small", "one: left", "one: right", "medium", "wide"]
    assert [one.baseline for one in first[6:]] == [None, None]


@pytest.mark.parametrize(("trials", "n_designs"), [(1, 1), (3, 1), (9, 3), (14, 4), (60, 6)])
def test_at_most_a_third_of_a_budget(make, measured, trials, n_designs):
    scheduler = make(budget={"trials": trials}, sampler="random")
    assert len(designs(run(scheduler, measured, n_trials=trials))) == n_designs


def test_the_known_cost_sampler_has_a_sixth_before_its_suggestions(make, measured):
    scheduler = make(budget={"trials": 18}, sampler="known_cost")
    done = run(scheduler, measured, n_trials=18)
    assert [one.baseline for one in done[:4]] == ["middle", "small", "one: left", None]
    assert len(designs(done)) <= 6


def test_a_share_of_the_time(make, measured):
    now = [0.0]
    scheduler = make(budget={"minutes": 1}, clock=lambda: now[0], sampler="random")
    done = []
    for _ in range(6):
        done += run(scheduler, measured, n_trials=1)
        now[0] += 8.0
    assert [one.baseline for one in done] == ["middle", "small", "one: left", None, None, None]


def test_those_that_are_far_costlier_are_postponed(make, measured):
    plain = {name: {"network.route": "left", "training.lr": lr} for name, lr in (("a", 0.01), ("b", 0.02), ("c", 0.03))}
    space = {**SPACE, "baselines": {**plain, "huge": {"network.route": "all", "network.streams.*.width": 128}}}
    scheduler = make(space={**space, "recommended": []})
    assert dict(scheduler.designs.postponed) == {"huge": 256}
    assert designs(run(scheduler, measured, n_trials=6)) == ["a", "b", "c"]
    scheduler = make(space={**space, "recommended": ["huge"]})
    assert not scheduler.designs.postponed
    assert designs(run(scheduler, measured, n_trials=6)) == ["huge", "a", "b", "c"]


def test_those_that_take_a_large_share_of_the_time_are_left_to_the_sampler(make, measured):
    """A fifteenth of the time is 40 s."""
    timed = {
        "sampler": "known_cost",
        "budget": {"minutes": 10},
        "seconds_of": lambda recipe, macs: float(macs),
    }
    scheduler = make(**timed)
    assert scheduler.designs.too_long == {"wide": 128.0}
    done = designs(run(scheduler, measured, n_trials=20))
    assert done[:5] == ["middle", "small", "one: left", "one: right", "medium"]
    offered = [scheduler.designs.name_of(one) for one in scheduler.designs.offered(scheduler.trials())]
    assert "wide" in [*done, *offered]
    assert not make(seconds_of=timed["seconds_of"]).designs.too_long


def test_the_shortest_designs_are_trained_however_short_the_time_is(make, measured):
    scheduler = make(budget={"minutes": 0.1}, seconds_of=lambda recipe, macs: float(macs), sampler="known_cost")
    assert scheduler.designs.too_long == {"medium": 32.0, "wide": 128.0}
    assert designs(run(scheduler, measured, n_trials=4)) == ["middle", "small", "one: left", "one: right"]


def test_those_above_a_limit_or_that_cannot_be_trained_are_left_out(make, measured):
    def refuse(recipe):
        if recipe.network.route == ("right",):
            raise InvalidInputError("the right half is broken")

    scheduler = make(max_macs=40, check=refuse)
    assert designs(run(scheduler, measured, n_trials=8)) == ["small", "one: left", "medium"]


def test_a_design_that_a_sampler_suggests_has_its_name(make, measured):
    fields = {"network.streams.*.width": {"choices": [8, 16]}}
    same = {"a": {"network.streams.*.width": 8}, "b": {"network.streams.*.width": 16}}
    space = {"fields": fields, "fixed": SPACE["fixed"], "baselines": same}
    done = run(make(space=space, budget={"trials": 4}, sampler="random"), measured, n_trials=4)
    assert sorted(designs(done)) == ["a", "b"]
    assert {one.recipe.hash for one in done if one.baseline} == {
        one.recipe.hash for one in done if len({stream.width for stream in one.recipe.network.streams.values()}) == 1
    }


def test_it_continues_where_it_was(make, measured):
    unbroken = run(make(sampler="random"), measured, n_trials=9)
    storage, broken = InMemoryStorage(), []
    for _ in range(3):
        broken += run(make(storage, sampler="random"), measured, n_trials=3)
    assert broken == unbroken


def test_a_recommendation_without_a_baseline():
    with pytest.raises(ConfigError, match=r"recommended has 'midle', which is no baseline; .*middle"):
        SpaceConfig.parse({**SPACE, "recommended": ["midle"]})
