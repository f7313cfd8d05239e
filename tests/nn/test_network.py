"""The whole network: what runs, in which mode, and that nothing depends on names or order."""

import copy

import torch
from torch import nn

from nasfuse.domain.modality import Modality
from nasfuse.nn import build_network
from nasfuse.nn.per_stream import PerStream
from nasfuse.spec.network import NetworkConfig


def test_logits_of_one_stream_and_of_several(make_config, modalities, make_batch, task):
    for encoders, fusion in (({"i": "conv"}, None), ({"v": "mlp", "s": "transformer", "i": "conv"}, "gated")):
        network = build_network(make_config(encoders, fusion=fusion), list(modalities.values()), task)
        batch = make_batch(list(encoders))
        assert network(batch.inputs, batch.masks).shape == (3, 4)


def test_modalities_off_the_route_are_not_touched(make_config, modalities, make_batch, task):
    network = build_network(make_config({"v": "mlp"}), list(modalities.values()), task)
    assert list(network.streams) == ["v"]
    assert network(make_batch(["v", "s"]).inputs, {}).shape == (3, 4)


def test_inference_has_no_dropout(make_config, modalities, make_batch, task):
    config = make_config({"v": "mlp", "s": "transformer"}, fusion="joint_tokens", dropout=0.5)
    network = build_network(config, list(modalities.values()), task)
    batch = make_batch(["v", "s"])
    assert not torch.equal(network(batch.inputs, {}), network(batch.inputs, {}))
    network.eval()
    assert torch.equal(network(batch.inputs, {}), network(batch.inputs, {}))


def test_streams_may_have_any_name(task):
    names = ("values", "type", "float", "items", "training", "a-b")
    config = NetworkConfig.parse(
        {
            "route": list(names),
            "streams": {name: {"encoder": "mlp", "width": 4} for name in names},
            "fusion": {"kind": "joint_tokens", "width": 8},
        }
    )
    network = build_network(config, [Modality(name, "vector", (3,)) for name in names], task)
    inputs = {name: torch.randn(2, 3) for name in names}
    twin = copy.deepcopy(network)
    twin.load_state_dict(network.state_dict())
    assert torch.equal(twin(inputs, {}), network(inputs, {}))
    for name in names:
        network.load_stream(name, {key: torch.full_like(value, 0.5) for key, value in network.state_dict().items()})
        assert all((weights == 0.5).all() for weights in network.streams[name].state_dict().values())
        later = names[names.index(name) + 1 :]
        assert not any((network.streams[other].stem.project.weight == 0.5).all() for other in later)
    assert network.double()({name: x.double() for name, x in inputs.items()}, {}).dtype == torch.float64


def test_modules_per_stream_are_kept_by_name_and_in_order():
    layers = {name: nn.Linear(1, 1) for name in ("pop", "a", "keys")}
    kept = PerStream(layers)
    assert list(kept) == ["pop", "a", "keys"]
    assert len(kept) == 3
    assert all(kept[name] is layer for name, layer in layers.items())
    assert len(list(kept.parameters())) == 6
