"""Costs that are known before training: counted once, random where a router or a solver decides."""

import pytest

from nasfuse.domain.modality import Modality
from nasfuse.errors import InvalidInputError
from nasfuse.search.computed_costs import ComputedCosts
from nasfuse.search.space import Space

MODALITIES = (Modality("left", "image", (1, 8, 4)), Modality("right", "image", (1, 8, 4)))
SPACE = {
    "fields": {
        "network.route": {"subsets": True, "choices": ["each > all"]},
        "network.fusion.kind": {"choices": ["concat", "equilibrium"], "when": {"network.route": {"at_least": 2}}},
        "network.streams.*.width": {"choices": [8, 12], "when": {"network.route": {"has": "*"}}},
    },
    "fixed": {"network.streams.*.encoder": "mlp"},
}


@pytest.fixture
def costs_of(make_study):
    def make(macs_of, *, cost="macs", check=None):
        base = {"metric": "accuracy", "data": {"source": "digits"}}
        return ComputedCosts(
            Space(make_study(space=SPACE).space, MODALITIES, base=base), macs_of, cost=cost, check=check
        )

    return make


def both(kind="concat", route="left+right"):
    widths = {f"network.streams.{side}.width": 8 for side in ("left", "right")}
    return {"network.route": route, "network.fusion.kind": kind, **widths}


def test_a_static_network_is_known_and_counted_once_however_it_is_trained(costs_of):
    counted = []
    costs = costs_of(lambda recipe: counted.append(recipe) or 1000)
    assert costs.log_cost(both()) == costs.log_least(both()) == costs.log_cost({**both(), "training.lr": 0.01}) == 3
    assert len(counted) == 1


def test_an_invalid_training_is_not_cached_for_its_network(costs_of):
    costs = costs_of(lambda _: 1000)
    with pytest.raises(InvalidInputError):
        costs.log_cost({**both(), "training.epochs": 0})
    assert costs.log_cost({**both(), "training.epochs": 2}) == 3


@pytest.mark.parametrize("parameters", [both("equilibrium"), both(route="left > left+right")])
def test_costs_that_depend_on_a_solver_or_a_router_are_not_computed(costs_of, parameters):
    costs = costs_of(lambda _: 100)
    assert costs.log_cost(parameters) is None
    assert costs.log_least(parameters) == 2


def test_costs_other_than_macs_are_not_computed(costs_of):
    costs = costs_of(lambda _: 100, cost="latency_s")
    assert costs.log_cost(both()) is None
    assert costs.log_least(both()) == 2


def test_no_valid_network(costs_of):
    counted = []

    def refuse(recipe):
        counted.append(recipe)
        raise InvalidInputError("too narrow; make it wider")

    costs = costs_of(refuse)
    for ask in (costs.log_cost, costs.log_least):
        with pytest.raises(InvalidInputError, match="too narrow; make it wider"):
            ask(both())
    assert len(counted) == 1


def test_a_recipe_that_cannot_be_trained_has_an_identity_and_no_cost(costs_of):
    def check(recipe):
        if recipe.training.lr > 0.5:
            raise InvalidInputError("training.lr: too high")

    costs = costs_of(lambda _: 100, check=check)
    high = {**both(), "training.lr": 0.9}
    assert costs.identity(high) != costs.identity(both())
    for figure in (costs.log_least, costs.log_cost):
        with pytest.raises(InvalidInputError, match=r"training\.lr: too high"):
            figure(high)
    assert costs.log_cost(both()) == 2, "its network is not to blame"
