"""Shipped spaces: what they draw at random is what somebody would use."""

import random
import sys

import pytest
from optuna.distributions import CategoricalDistribution

from nasfuse.domain.modality import Modality, Task
from nasfuse.nn import build_network
from nasfuse.nn.elastic import SubNetworks
from nasfuse.nn.reducers import build_reducer
from nasfuse.nn.tokens import Extent
from nasfuse.nn.weightless import build_weightless
from nasfuse.search.space import Space
from nasfuse.spec.schema.yaml_file import read_document
from nasfuse.spec.shipped import shipped_files
from nasfuse.spec.space import SpaceConfig
from nasfuse.spec.stream import LEAST_PER_HEAD
from tests.forked import forked

#: Two modalities of sizes that fit every shipped space.
FITTING = (Modality("image", "image", (3, 32, 32)), Modality("steps", "sequence", (128, 6)))

#: Two that correspond, as a fusion at sites needs them.
REGISTERED = (FITTING[0], Modality("depth", "image", (1, 32, 32)))

SPACES = shipped_files("search_spaces")


def fitting(name):
    return REGISTERED if name == "dense" else FITTING


def shipped(name):
    document = read_document(SPACES[name])
    config = SpaceConfig.parse(document.values, document=document)
    return Space(config, fitting(name), base={"metric": "accuracy", "data": {"source": "digits"}})


def draw_recipes(space, n_draws):
    rng = random.Random(0)
    for _ in range(n_draws):
        values, drawn = dict(space.constants), {}
        for parameter in space.parameters:
            if parameter.exists(values):
                own = parameter.distribution
                if isinstance(own, CategoricalDistribution):
                    value = rng.choice(own.choices)
                else:
                    value = rng.uniform(own.low, own.high)
                    value = own.to_external_repr(value if isinstance(own.low, float) else round(value))
                values[parameter.name] = drawn[parameter.name] = value
        yield space.recipe(drawn)


def test_there_are_spaces():
    assert len(SPACES) >= 7


@pytest.mark.parametrize("name", SPACES)
def test_300_draws_are_sensible(name):
    for recipe in draw_recipes(shipped(name), 300):
        network = recipe.network
        attending = [stream for stream in network.streams.values() if stream.encoder == "transformer"]
        if getattr(network.fusion, "heads", None) is not None:
            attending.append(network.fusion)
        for one in attending:
            assert one.width // one.heads >= LEAST_PER_HEAD, "heads of a few features attend to next to nothing"
        if network.fusion is not None and network.fusion.kind == "equilibrium":
            assert network.fusion.tolerance <= 1e-2, "a looser fixed point is none"
            assert network.fusion.backward_tolerance <= 1e-2, "nor is a looser gradient one"


@pytest.mark.parametrize("name", SPACES)
def test_no_two_keep_ratios_of_a_convolution_mean_the_same(name):
    parameters = {parameter.name: parameter for parameter in shipped(name).parameters}
    for stream, extent in (("image", Extent(256, (16, 16))), ("steps", Extent(64))):
        encoders = parameters.get(f"network.streams.{stream}.encoder")
        ratios = parameters.get(f"network.streams.{stream}.reducer.keep_ratio")
        if ratios is not None and encoders is not None and "conv" in encoders.distribution.choices:
            built = [build_reducer("max", ratio, width=8) for ratio in ratios.distribution.choices]
            left = [extent.n_tokens if one is None else one.extent(extent).n_tokens for one in built]
            assert len(set(left)) == len(left), f"{stream}: {ratios.distribution.choices} leave {left}"


@pytest.mark.parametrize("name", SPACES)
def test_a_few_draws_are_built(name):
    for recipe in draw_recipes(shipped(name), 5):
        build_network(recipe.network, fitting(name), Task("multiclass", 3))


def test_every_draw_of_the_elastic_space_has_sub_networks_of_all_sizes():
    recipes = {recipe.hash: recipe for recipe in draw_recipes(shipped("elastic"), 30)}.values()
    kinds = {(one.network.fusion.kind, *(of.encoder for of in one.network.streams.values())) for one in recipes}
    assert len(kinds) > 6
    for recipe in recipes:
        SubNetworks(recipe.network, recipe.elastic, fitting("elastic"), Task("multiclass", 3), drops=False)


# Linear models have no decoder for label maps (dense), and no widths and depths that shrink (elastic).
@pytest.mark.parametrize("name", [name for name in SPACES if name not in ("dense", "elastic")])
def test_linear_models_run_first(name):
    space = shipped(name)
    first = [space.recipe(parameters).network for parameters in list(space.baselines.values())[:3]]
    assert [set(network.route) for network in first] == [{"image"}, {"steps"}, {"image", "steps"}]
    for network in first:
        assert {stream.encoder for stream in network.streams.values()} == {"linear"}
    assert first[2].fusion.kind == "late"


@pytest.mark.parametrize("name", ["full", "sparse"])
def test_random_convolutions_are_baselines(name):
    space = shipped(name)
    designs = {label: space.recipe(values).network for label, values in space.baselines.items()}
    streams = [
        set(network.streams.values()) for label, network in designs.items() if label.startswith("random convolutions")
    ]
    assert len(streams) == 3, "one of each stream, and one of both"
    for stream in set().union(*streams):
        assert (stream.encoder, stream.depth, stream.stride, stream.n_kernels) == ("random_conv", 0, 2, 84)


@pytest.mark.parametrize("name", SPACES)
def test_regularisation_is_drawn(name):
    drawn = {parameter.name for parameter in shipped(name).parameters}
    fields = ("epochs", "input_noise", "label_smoothing", "weight_decay")
    assert {"network.dropout", *(f"training.{field}" for field in fields)} <= drawn


def build_all_without_weights():
    """Prints which slow parts of torch are imported when networks of every space are built without weights."""
    for name in SPACES:
        for recipe in draw_recipes(shipped(name), 40):
            build_weightless(recipe.network, fitting(name), Task("multiclass", 3), drops=recipe.drops_modalities)
    print([slow for slow in ("torch._dynamo", "sympy") if slow in sys.modules])


def test_a_survey_of_a_space_does_not_import_the_compiler_of_torch():
    """The import takes longer than the survey; it happens at the first arithmetic on the meta device."""
    with forked(build_all_without_weights) as process:
        printed, errors = process.communicate(timeout=200)
    assert printed == "[]\n", errors
