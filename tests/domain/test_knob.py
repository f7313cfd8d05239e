"""Knobs and their places in a recipe."""

import pytest

from nasfuse.domain.knob import KnobPaths, knob_paths, with_settings
from nasfuse.errors import InvalidInputError, NasfuseError
from nasfuse.spec.recipe import Recipe

PLAIN = Recipe.parse(
    {
        "data": {"source": "digits"},
        "network": {
            "route": ["left", "right"],
            "streams": {
                "left": {"encoder": "transformer", "reducer": {"kind": "merge", "keep_ratio": 0.5}},
                "right": {"encoder": "mlp"},
            },
            "fusion": {"kind": "equilibrium"},
            "router": {"routes": ["left", "left+right"]},
        },
    }
).to_plain()

PATHS = {
    "threshold": KnobPaths("network.router.threshold"),
    "max_steps": KnobPaths("network.fusion.inference_max_steps", "network.fusion.max_steps"),
    "tolerance": KnobPaths("network.fusion.inference_tolerance", "network.fusion.tolerance"),
    "keep_ratio": KnobPaths("network.fusion.reducer.inference_keep_ratio", "network.fusion.reducer.keep_ratio"),
    "keep_ratio.left": KnobPaths(
        "network.streams.left.reducer.inference_keep_ratio", "network.streams.left.reducer.keep_ratio"
    ),
}


@pytest.mark.parametrize("name", PATHS)
def test_paths(name):
    assert knob_paths(name) == PATHS[name]


@pytest.mark.parametrize("name", ["treshold", "threshold.left", "max_steps.left", "early_exit", "route", ""])
def test_an_unknown_knob_is_named(name):
    for use in (knob_paths, lambda knob: with_settings(PLAIN, {knob: 0.5})):
        with pytest.raises(InvalidInputError, match=rf"no recipe path is known for the knob '{name}'"):
            use(name)
    assert issubclass(InvalidInputError, NasfuseError)


def test_settings_are_written_where_they_belong():
    settings = {"threshold": 0.25, "max_steps": 4, "tolerance": 0.1, "keep_ratio.left": 0.125}
    before = Recipe.parse(PLAIN)
    network = Recipe.parse(with_settings(PLAIN, settings)).network
    assert network.router.threshold == 0.25
    assert (network.fusion.inference_max_steps, network.fusion.inference_tolerance) == (4, 0.1)
    assert network.streams["left"].reducer.inference_keep_ratio == 0.125
    assert Recipe.parse(PLAIN) == before, "what was given stays as it was"


@pytest.mark.parametrize("name", ["keep_ratio.middle", "keep_ratio"])
def test_a_part_that_the_recipe_does_not_have(name):
    with pytest.raises(InvalidInputError, match=rf"the recipe has no network\..*reducer, so the knob '{name}' cannot"):
        with_settings(PLAIN, {name: 0.5})
