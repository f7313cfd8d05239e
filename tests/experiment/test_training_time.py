"""Trainings that would take most of a budget in minutes."""

import pytest

from nasfuse.data.sources.digits import load_digits
from nasfuse.errors import InvalidInputError
from nasfuse.experiment.space_survey import macs_of
from nasfuse.experiment.training_time import TimeLimit
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.study import StudyConfig
from tests.tiny_study import TINY


def recipe_of(width, *, epochs=10, validation=None, router=None, routing=None):
    plain = {
        "data": {"source": "digits", **({} if validation is None else {"validation": validation})},
        "network": {
            **({"route": ["left", "right"]} if router is None else {"route": ["left", "right"], "router": router}),
            "streams": {side: {"encoder": "mlp", "depth": 1, "width": width} for side in ("left", "right")},
            "fusion": {"kind": "sum", "placement": 1},
        },
        "training": {"epochs": epochs, **({} if routing is None else {"routing": routing})},
    }
    return Recipe.parse(plain)


SMALL, LARGE = recipe_of(8), recipe_of(512)


@pytest.fixture(scope="module")
def digits():
    return load_digits()


def limit_of(dataset, surveyed=(SMALL, LARGE), **changes):
    study = StudyConfig.parse({**TINY, "budget": {"minutes": 1}, **changes})
    return TimeLimit(study, dataset, surveyed)


def test_the_time_is_that_of_all_samples_and_steps_in_all_epochs(digits):
    """There are 23 steps of 64 samples in an epoch, and 18 modules without parts in the network."""
    macs = macs_of(LARGE, digits)
    epoch_s = 23 * 18 * 4e-4 + 3 * macs * 1437 / 7e9
    assert limit_of(digits).seconds(LARGE, macs) == pytest.approx(1.5 + 10 * epoch_s)
    assert limit_of(digits).seconds(recipe_of(512, epochs=30), macs) == pytest.approx(1.5 + 30 * epoch_s)
    folds = recipe_of(512, validation={"folds": 4, "repeats": 2})
    assert limit_of(digits).seconds(folds, macs) == pytest.approx(8 * (1.5 + 10 * epoch_s))


def test_fixed_features_are_computed_once(digits):
    """Those of 84 kernels of nine taps at 8 x 4 positions."""
    plain = SMALL.to_plain()
    plain["network"]["streams"]["left"] = {
        "encoder": "random_conv",
        "depth": 1,
        "width": 8,
        "n_kernels": 84,
        "stride": 1,
    }
    recipe = Recipe.parse(plain)
    longer = Recipe.parse({**plain, "training": {**plain["training"], "epochs": 20}})
    limit = limit_of(digits)
    features = 84 * 9 * 8 * 4
    macs = macs_of(recipe, digits)
    assert macs > features
    twice, once = (limit.seconds(one, macs) for one in (longer, recipe))
    n_val = len(digits.val)
    assert 2 * once - twice == pytest.approx(1.5 + features * (1437 + n_val) / 4e8)


@pytest.mark.parametrize(("reads", "n_times"), [("cheapest_stream", 1), ("cheap_route", 1), ("inputs", 10)])
def test_fixed_features_of_a_routed_network_are_computed_once_unless_its_router_reads_the_inputs(
    digits, reads, n_times
):
    plain = SMALL.to_plain()
    stream = {"encoder": "random_conv", "depth": 1, "width": 8, "n_kernels": 84, "stride": 1}
    plain["network"]["streams"]["left"] = stream
    plain["network"]["router"] = {"routes": ["left", "left+right"], "reads": reads}
    routed = Recipe.parse(plain)
    fixed, others = limit_of(digits), limit_of(digits)
    others._of_fixed[routed.network.model_dump_json()] = 0, True
    n_samples = len(digits.train) * (n_times if n_times > 1 else 1) + (len(digits.val) if n_times == 1 else 0)
    features = 84 * 9 * 8 * 4
    without = 3 * features * len(digits.train) * 10 / 7e9
    assert fixed.seconds(routed, 0) - others.seconds(routed, 0) == pytest.approx(features * n_samples / 4e8 - without)


def test_fixed_features_of_inputs_that_change_are_computed_in_every_epoch(digits):
    plain = SMALL.to_plain()
    plain["network"]["streams"]["left"] = {"encoder": "random_conv", "depth": 1, "width": 8}
    recipe = Recipe.parse(plain)
    changing = Recipe.parse({**plain, "training": {**plain["training"], "mixup": 0.2}})
    limit, macs = limit_of(digits), macs_of(recipe, digits)
    assert limit.seconds(changing, macs) > limit.seconds(recipe, macs) + 1e-3


@pytest.mark.parametrize(("kind", "n_more"), [("sequential", 3), ("gate", 7)])
def test_a_step_trains_all_routes_with_a_head_each(digits, kind, n_more):
    """The routes share the left stream; `left` has a head more, from 512 features to ten classes, in three modules."""
    n_head, more_s = 512 * 10, 23 * 10 * n_more * 4e-4
    routed = recipe_of(512, router={"kind": kind, "routes": ["left", "left+right"]})
    cheapest, full = macs_of(routed, digits), macs_of(routed, digits, route=-1)
    limit = limit_of(digits)
    assert limit.macs(routed) == full + n_head
    assert limit.seconds(routed, cheapest) == pytest.approx(limit.seconds(LARGE, full + n_head) + more_s)


def test_a_step_of_an_elastic_network_trains_several_networks(digits):
    plain = {**SMALL.to_plain(), "elastic": {"network.streams.*.width": [4]}}
    elastic = Recipe.parse({**plain, "training": {"epochs": 10, "elastic": {"n_random": 1}}})
    limit = limit_of(digits)
    assert limit.seconds(elastic, 1000) - 1.5 == pytest.approx(3 * (limit.seconds(SMALL, 1000) - 1.5))


def test_a_step_that_trains_one_route_takes_the_time_of_the_mean(digits):
    router = {"kind": "gate", "routes": ["left", "left+right"]}
    limit, one = limit_of(digits), recipe_of(512, router=router, routing={"routes_per_step": "one"})
    both = macs_of(one, digits), macs_of(one, digits, route=-1)
    assert limit.macs(recipe_of(512, router=router)) > limit.macs(one) == round(sum(both) / 2)


@pytest.mark.parametrize(
    ("changes", "is_refused"),
    [
        ({"budget": {"minutes": 1}}, True),
        ({"budget": {"minutes": 100}}, False),
        ({"budget": {"trials": 3}}, False),
        ({"budget": {"minutes": 0.005}, "sampler": "tpe"}, False),
        ({"budget": {"minutes": 0.005}, "resources": {"gpus_per_trial": 1}}, False),
        ({"budget": {"minutes": 1}, "resources": {"cpus_per_trial": 10**9}}, False),
    ],
)
def test_what_would_take_a_third_of_the_minutes_is_refused(digits, changes, is_refused):
    limit, recipe = limit_of(digits, **changes), recipe_of(512, epochs=80)
    assert limit.above({"large": recipe, "small": SMALL}) == ["large"] * is_refused
    if is_refused:
        with pytest.raises(InvalidInputError, match="would take more than a third of the budget in minutes"):
            limit.check(recipe, macs_of(recipe, digits))
    limit.check(SMALL, macs_of(SMALL, digits))


def test_a_quarter_of_the_networks_is_allowed_however_short_the_budget(digits):
    surveyed = [recipe_of(width) for width in (256, 384, 512, 640, 768)]
    limit = limit_of(digits, surveyed, budget={"minutes": 1e-6})
    names = {str(number): recipe for number, recipe in enumerate(surveyed)}
    assert limit.above(names) == ["2", "3", "4"] or limit.above(names) == ["1", "2", "3", "4"]
    limit.check(surveyed[0], macs_of(surveyed[0], digits))
