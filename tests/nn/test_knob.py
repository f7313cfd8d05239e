"""Knobs of networks: setting several modules at once, for a while or for good."""

from types import SimpleNamespace

import pytest

from nasfuse.domain.knob import knob_paths
from nasfuse.errors import InvalidInputError
from nasfuse.nn import build_network
from nasfuse.nn.head import LinearHead
from nasfuse.nn.knob import Knob, joined, knobs_as_trained, knobs_at, set_knobs, settings_of
from nasfuse.spec.recipe import Recipe


def knob_of(module, name, *, trained=None):
    def change(value):
        module.value = value

    return Knob(name, get=lambda: module.value, set=change, trained=trained)


@pytest.fixture
def modules():
    return [SimpleNamespace(value=value) for value in (0.5, 0.5, 7)]


@pytest.fixture
def knobs(modules):
    names = ("keep_ratio.s", "keep_ratio.s", "max_steps")
    return joined(knob_of(module, name, trained=1) for module, name in zip(modules, names, strict=True))


def test_knobs_of_one_name_are_one(modules, knobs):
    assert [knob.name for knob in knobs] == ["keep_ratio.s", "max_steps"]
    assert [knob.kind for knob in knobs] == ["keep_ratio", "max_steps"]
    set_knobs(knobs, {"keep_ratio.s": 0.25})
    assert [module.value for module in modules] == [0.25, 0.25, 7]


def test_a_setting_ends_with_its_block(modules, knobs):
    with pytest.raises(RuntimeError, match="in the middle"), knobs_at(knobs, {"keep_ratio.s": 0.1}):
        assert settings_of(knobs) == {"keep_ratio.s": 0.1, "max_steps": 7}
        raise RuntimeError("in the middle")
    assert [module.value for module in modules] == [0.5, 0.5, 7]
    with knobs_as_trained(knobs):
        assert settings_of(knobs) == {"keep_ratio.s": 1, "max_steps": 1}
    assert [module.value for module in modules] == [0.5, 0.5, 7]


def test_an_unknown_knob_changes_nothing(modules, knobs):
    message = r"the network has no knob 'max_step'; did you mean 'max_steps'\? Known: keep_ratio\.s, max_steps"
    with pytest.raises(InvalidInputError, match=message):
        set_knobs(knobs, {"keep_ratio.s": 0.1, "max_step": 3})
    with pytest.raises(InvalidInputError, match=message), knobs_at(knobs, {"max_step": 3}):
        pytest.fail("the block does not run")
    assert [module.value for module in modules] == [0.5, 0.5, 7]


@pytest.mark.parametrize(("fusion", "n_heads"), [("concat", 1), ("late", 2)])
def test_knobs_of_heads_are_those_of_their_network(make_recipe, dataset, monkeypatch, fusion, n_heads):
    monkeypatch.setattr(LinearHead, "knobs", lambda head: (knob_of(head, "scale"),))
    network = build_network(make_recipe(fusion=fusion).network, dataset.modalities, dataset.task)
    set_knobs(network.knobs(), {"scale": 2.0})
    heads = [module for module in network.modules() if isinstance(module, LinearHead)]
    assert [head.value for head in heads] == [2.0] * n_heads


def test_every_knob_of_a_network_has_a_place_in_a_recipe(make_sparse_knobs, dataset):
    for recipe, names in make_sparse_knobs:
        network = build_network(recipe.network, dataset.modalities, dataset.task)
        assert {knob.name for knob in network.knobs()} == names
        plain = recipe.to_plain()
        for knob in network.knobs():
            place = plain
            *parents, field = knob_paths(knob.name).after.split(".")
            for key in parents:
                place = place[key]
            set_to = knob.cheaper[0] if knob.cheaper else 0.25
            place[field] = "v+s" if knob.name == "always" else set_to  # a recipe names the route
        rebuilt = build_network(Recipe.parse(plain).network, dataset.modalities, dataset.task)
        expected = {knob.name: knob.cheaper[0] if knob.cheaper else 0.25 for knob in network.knobs()}
        if "always" in expected:
            expected["always"] = 1
        assert settings_of(rebuilt.knobs()) == expected
        assert {k.name: k.trained for k in rebuilt.knobs()} == {k.name: k.trained for k in network.knobs()}


@pytest.fixture
def make_sparse_knobs(make_recipe):
    """Recipes with their knobs: joint stages; a solver; several routes that share a solver's options."""
    joint = make_recipe(encoders={"s": "transformer", "i": "transformer"}, fusion="joint_tokens").to_plain()
    joint["network"]["fusion"]["reducer"] = {"kind": "merge", "keep_ratio": 0.5}
    solver = make_recipe(encoders={"v": "mlp", "s": "conv", "i": "transformer"}, placement=2).to_plain()
    solver["network"]["fusion"] = {"kind": "equilibrium", "placement": 2, "width": 16}
    routed = {**solver, "network": {**solver["network"], "router": {"routes": ["v", "v+s", "v+s+i"], "width": 4}}}
    streams = {"keep_ratio.i"}
    return [
        (Recipe.parse(joint), {"keep_ratio", "keep_ratio.s", *streams}),
        (Recipe.parse(solver), {"max_steps", "tolerance", *streams}),
        (Recipe.parse(routed), {"max_steps", "tolerance", "threshold", "always", *streams}),
    ]
