"""Networks without weights: the shapes of real ones, built once for equal networks."""

import pytest
import torch

from nasfuse.data.sources.digits import load_digits
from nasfuse.experiment.weightless import weightless_network
from nasfuse.nn import build_network
from nasfuse.spec.ensemble import EnsembleRecipe
from nasfuse.spec.recipe import Recipe

TRANSFORMER = {"encoder": "transformer", "stride": 4, "readout": "cls", "reducer": {"kind": "merge"}}


def recipe_of(streams, *, router=None, **training):
    network = {"route": list(streams), "streams": streams}
    if len(streams) > 1:
        network["fusion"] = {"kind": "concat", "placement": 0}
    if router:
        network["router"] = {"kind": router, "routes": ["left", "left+right"]}
    return Recipe.parse({"data": {"source": "digits"}, "network": network, "training": training})


PLAIN = {"left": {"encoder": "mlp"}, "right": {"encoder": "mlp"}}
RECIPES = {
    "gate": recipe_of({"left": {"encoder": "conv", "stride": 2}, "right": TRANSFORMER}, router="gate"),
    "fixed convolutions": recipe_of({"left": {"encoder": "random_conv", "n_kernels": 6, "n_dilations": 1}}),
    "placeholders": recipe_of(PLAIN, modality_dropout=0.2),
}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_it_has_the_parameters_of_the_real_network_and_no_memory(recipe):
    dataset = load_digits()
    real = build_network(recipe.network, dataset.modalities, dataset.task, drops=recipe.drops_modalities)
    without = weightless_network(recipe, dataset)
    assert all(tensor.is_meta for tensor in without.parameters())
    assert {name: tensor.shape for name, tensor in without.named_parameters()} == {
        name: tensor.shape for name, tensor in real.named_parameters()
    }


def test_a_training_with_other_settings_shares_it_and_another_network_does_not():
    dataset = load_digits()
    network = weightless_network(recipe_of(PLAIN, lr=0.1), dataset)
    assert weightless_network(recipe_of(PLAIN, lr=0.2), dataset) is network
    assert weightless_network(recipe_of(PLAIN, modality_dropout=0.2), dataset) is not network
    assert weightless_network(recipe_of({**PLAIN, "right": {"encoder": "linear"}}), dataset) is not network


def test_no_random_number_is_drawn():
    state = torch.random.get_rng_state()
    weightless_network(recipe_of({"left": {"encoder": "mlp", "depth": 5}}), load_digits())
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(
    "fusion",
    [
        {"kind": "joint_tokens", "width": 4},
        {"kind": "bottleneck", "width": 4},
        {"kind": "equilibrium", "width": 4},
        {"kind": "equilibrium", "width": 4, "spectral_bound": 0.9},
    ],
    ids=str,
)
def test_no_values_are_computed(fusion, monkeypatch):
    """On the meta device torch would import its compiler for a random number, which takes seconds."""
    monkeypatch.setattr(torch, "randn", lambda *_, **__: pytest.fail("a random number was drawn"))
    plain = recipe_of({"left": TRANSFORMER, "right": TRANSFORMER}).to_plain()
    plain["network"]["fusion"] = fusion
    assert weightless_network(Recipe.parse(plain), load_digits()).stream_names == ("left", "right")


def test_an_ensemble_has_its_members():
    members = [recipe_of(PLAIN), recipe_of({"left": {"encoder": "mlp"}})]
    ensemble = EnsembleRecipe.parse(
        {
            "data": {"source": "digits"},
            "ensemble": [{"network": member.network.to_plain()} for member in members],
        }
    )
    network = weightless_network(ensemble, load_digits())
    expected = [weightless_network(member, load_digits()) for member in members]
    n_weights = [sum(p.numel() for p in one.parameters()) for one in [network, *expected]]
    assert n_weights[0] == sum(n_weights[1:])
