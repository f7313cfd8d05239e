"""Recipes whose networks cannot be stacked for a reason that is not their kind (see `test_network_stack`)."""

import pytest

from nasfuse.nn.build import build_network
from nasfuse.spec.recipe import Recipe
from nasfuse.train import reason_against

ROUTER = {"routes": ["v", "v+s"], "width": 4}


@pytest.mark.parametrize(
    ("options", "elastic", "reason"),
    [
        ({}, {}, None),
        ({"mixup": 0.2, "stream_loss": 0.5}, {}, None),
        ({"mixup": 0.2, "mixup_at": "manifold"}, {}, "manifold mixup"),
        ({"router": ROUTER}, {}, "several routes"),
        ({}, {"network.streams.v.width": [4]}, "elastic"),
    ],
)
def test_recipes(make_recipe, dataset, options, elastic, reason):
    recipe = Recipe.parse({**make_recipe(**options).to_plain(), **({"elastic": elastic} if elastic else {})})
    network = build_network(recipe.network, dataset.modalities, dataset.task)
    found = reason_against(recipe, network, dataset)
    assert found is None if reason is None else reason in found
