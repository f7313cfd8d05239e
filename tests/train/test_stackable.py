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
        ({"batch_size": 2**15}, {}, "too large"),
    ],
)
def test_recipes(make_recipe, dataset, options, elastic, reason):
    recipe = Recipe.parse({**make_recipe(**options).to_plain(), **({"elastic": elastic} if elastic else {})})
    network = build_network(recipe.network, dataset.modalities, dataset.task)
    found = reason_against(recipe, network, dataset)
    assert found is None if reason is None else reason in found


def test_fixed_features_count_unless_they_are_computed_once(make_recipe, dataset):
    encoders, size = {"s": "random_conv", "v": "linear"}, 25_000
    for options, is_too_large in (({}, False), ({"modality_dropout": 0.1}, True)):
        recipe = make_recipe(encoders=encoders, fusion="late", batch_size=size, **options)
        network = build_network(recipe.network, dataset.modalities, dataset.task, drops=recipe.drops_modalities)
        most, stem = network.macs({"s": 11}), network.streams["s"].stem.macs(11)
        assert size * most > 2**24 > size * (most - stem), "the example is one"
        assert (reason_against(recipe, network, dataset) is not None) == is_too_large
