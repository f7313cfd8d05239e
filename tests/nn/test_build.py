"""From a recipe to a network: depths around the placement, and what does not fit the data."""

import pytest
import torch

from nasfuse.domain.modality import ENCODERS, Modality, Task
from nasfuse.errors import InvalidInputError
from nasfuse.nn import build_network
from nasfuse.nn.build import STREAMS
from nasfuse.nn.fusion import FUSIONS
from nasfuse.nn.reducers import REDUCERS
from nasfuse.spec.network import NetworkConfig

KINDS = {*FUSIONS, *REDUCERS, "sites", "chain"}


@pytest.mark.parametrize(("tag", "registry"), [("kind", KINDS), ("encoder", {*STREAMS})])
def test_what_a_recipe_can_name_can_be_built_and_the_other_way_round(tag, registry):
    definitions = NetworkConfig.model_json_schema()["$defs"]
    options = [entry for name, entry in definitions.items() if not name.endswith("Router")]
    tags = [option["properties"].get(tag, {}) for option in options]
    assert {entry["const"] for entry in tags if "const" in entry} == registry


@pytest.mark.parametrize(
    ("depths", "placement", "own", "joint"),
    [((2, 2), 0, (0, 0), 2), ((2, 2), 1, (1, 1), 1), ((3, 1), 2, (2, 1), 1), ((3, 1), 9, (3, 1), 0)],
)
def test_the_placement_divides_the_stages(modalities, task, depths, placement, own, joint):
    streams = {name: {"encoder": "mlp", "depth": depth} for name, depth in zip("vs", depths, strict=True)}
    config = NetworkConfig.parse(
        {"route": ["v", "s"], "streams": streams, "fusion": {"kind": "sum", "placement": placement}}
    )
    network = build_network(config, list(modalities.values()), task)
    assert tuple(len(network.streams[name].stages) for name in "vs") == own
    assert tuple(network.branch.route.n_stages.values()) == own
    assert len(network.branch.fusion.joint) == joint


@pytest.mark.parametrize("kind", FUSIONS)
def test_the_same_generator_gives_the_same_weights(make_config, modalities, task, kind):
    config = make_config({"v": "mlp", "s": "transformer"}, fusion=kind)
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(build_network(config, list(modalities.values()), task).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert any(not torch.equal(states[0][key], states[2][key]) for key in states[0])


@pytest.mark.parametrize("n_outputs", [1, 7])
def test_the_head_is_as_wide_as_the_task(make_config, modalities, make_batch, n_outputs):
    network = build_network(make_config({"v": "mlp"}), list(modalities.values()), Task("regression", n_outputs))
    assert network(make_batch(["v"]).inputs, {}).shape == (3, n_outputs)


def test_an_unknown_modality_gets_the_nearest(make_config, task):
    config = make_config({"v": "mlp"})
    with pytest.raises(InvalidInputError, match=r"^network\.route: the data has no modality 'v'; did you mean 'vv'\?"):
        build_network(config, [Modality("vv", "vector", (3,))], task)


@pytest.mark.parametrize(
    ("kind", "encoder"), [(kind, e) for kind in ENCODERS for e in STREAMS if e not in ENCODERS[kind]]
)
def test_an_encoder_that_does_not_fit_the_kind(make_config, task, kind, encoder):
    shape = {"vector": (3,), "sequence": (3, 3), "image": (1, 3, 3)}[kind]
    known = ", ".join(sorted(ENCODERS[kind]))
    with pytest.raises(
        InvalidInputError,
        match=rf"^network\.streams\.v\.encoder: a {kind} cannot have encoder '{encoder}'; .*Known: {known}$",
    ):
        build_network(make_config({"v": encoder}), [Modality("v", kind, shape)], task)
