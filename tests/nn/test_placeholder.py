"""Placeholders: which tokens stand for a modality that a sample lacks, in every kind of stream and network."""

import pytest
import torch

from nasfuse.domain.modality import ENCODERS, Modality
from nasfuse.nn import build_network
from nasfuse.nn.fusion import FUSIONS
from nasfuse.nn.placeholder import Placeholder
from nasfuse.nn.tokens import Tokens
from nasfuse.spec.network import NetworkConfig
from nasfuse.testing.suite import randomise

LENGTHS = {"s": [3, 11, 5, 7], "q": [9, 2, 4, 6]}
LACK = torch.tensor([False, True, False, True])


def make(config, modalities, task, **options):
    network = build_network(config, list(modalities.values()), task, **options).eval()
    randomise(network, 0.3)
    return network


def run(network, batch):
    with torch.no_grad():
        return network(batch.inputs, batch.masks, present=batch.present)


def test_the_vector_is_added_where_the_modality_is_absent():
    placeholder = Placeholder(2)
    placeholder.shift.data = torch.tensor([10.0, 20.0])
    values = torch.arange(12.0).reshape(3, 2, 2)
    mask = torch.tensor([[True, True], [False, False], [True, False]])
    tokens = placeholder(Tokens(values, mask, cls=torch.ones(3, 2)), torch.tensor([True, False, True]))
    assert tokens.values.tolist() == [[[0, 1], [2, 3]], [[14, 25], [16, 27]], [[8, 9], [10, 11]]]
    assert tokens.cls.tolist() == [[1, 1], [11, 21], [1, 1]]
    assert tokens.mask.tolist() == [[True, True], [True, False], [True, False]]


def test_a_vector_that_is_absent_is_its_bias_and_the_placeholder(modalities, make_config, task):
    network = make(make_config({"v": "mlp", "s": "mlp"}, fusion="sum"), modalities, task, drops=True)
    stream = network.streams["v"]
    tokens = stream.start(torch.zeros(1, 6), None, torch.tensor([False]))
    assert torch.allclose(tokens.values[0, 0], stream.stem.project.bias + stream.placeholder.shift)


@pytest.mark.parametrize("name", "vsqi")
def test_what_an_absent_modality_held_has_no_influence(modalities, make_config, make_batch, task, name):
    for encoder in ENCODERS[modalities[name].kind]:
        readout = "cls" if encoder == "transformer" else "mean"
        config = make_config({name: encoder, "v" if name != "v" else "i": "linear"}, fusion="late", readout=readout)
        network = make(config, modalities, task, drops=True)
        lengths = {name: LENGTHS[name]} if name in LENGTHS else None
        one, other = (make_batch(list(network.stream_names), n_samples=4, lengths=lengths) for _ in range(2))
        other.inputs.update({key: value for key, value in one.inputs.items() if key != name})
        first, second = (run(network, batch.without(name, LACK)) for batch in (one, other))
        assert torch.isfinite(first).all()
        assert torch.allclose(first[LACK], second[LACK], atol=1e-6), encoder
        assert torch.allclose(first[~LACK], run(network, one)[~LACK], atol=1e-5), encoder


@pytest.mark.parametrize("kind", FUSIONS)
def test_every_fusion_takes_samples_with_other_modalities(modalities, make_config, make_batch, task, kind):
    config = make_config({"s": "conv", "q": "transformer", "i": "transformer"}, fusion=kind)
    network = make(config, modalities, task, drops=True)
    batch = make_batch(list("sqi"), n_samples=4, lengths=LENGTHS)
    mixed = batch.without("q", LACK).without("s", torch.tensor([True, False, False, False]))
    together = run(network, mixed)
    for row in range(4):
        alone = type(batch)(*({k: v[[row]] for k, v in part.items()} for part in (mixed.inputs, mixed.masks)), None)
        present = {key: value[[row]] for key, value in mixed.present.items()}
        with torch.no_grad():
            found = network(alone.inputs, alone.masks, present=present)
        assert torch.allclose(found, together[[row]], atol=1e-4)


def test_the_gradient_reaches_the_placeholders_of_what_is_absent(modalities, make_config, make_batch, task):
    network = make(make_config({"v": "mlp", "q": "transformer"}, fusion="concat"), modalities, task, drops=True)
    batch = make_batch(["v", "q"], n_samples=4).without("q", LACK)
    network(batch.inputs, batch.masks, present=batch.present).square().sum().backward()
    assert network.streams["q"].placeholder.shift.grad.abs().min() > 0
    assert network.streams["v"].placeholder.shift.grad is None


def test_only_what_can_be_absent_has_one(modalities, make_config, task):
    config = make_config({"v": "mlp", "s": "mlp"}, fusion="sum")
    torch.manual_seed(1)
    plain = build_network(config, list(modalities.values()), task)
    assert plain.placeholders == frozenset()
    assert not [key for key in plain.state_dict() if "placeholder" in key]
    known = [modalities["v"], Modality("s", "sequence", (11, 5), can_be_absent=True)]
    torch.manual_seed(1)
    one = build_network(config, known, task)
    assert one.placeholders == {"s"}
    assert build_network(config, list(modalities.values()), task, drops=True).placeholders == {"v", "s"}
    alone = NetworkConfig.parse({"route": ["v"], "streams": {"v": {"encoder": "mlp"}}})
    assert build_network(alone, known, task, drops=True).placeholders == frozenset()
    assert all(torch.equal(value, one.state_dict()[key]) for key, value in plain.state_dict().items())
    assert plain.static_macs({"s": 11}) == one.static_macs({"s": 11})


def test_without_a_placeholder_the_mean_stands_for_it(modalities, make_config, make_batch, task):
    config = make_config({"v": "mlp", "i": "conv"}, fusion="sum")
    torch.manual_seed(1)
    plain = build_network(config, list(modalities.values()), task).eval()
    torch.manual_seed(1)
    untrained = build_network(config, list(modalities.values()), task, drops=True).eval()
    batch = make_batch(["v", "i"], n_samples=4)
    zeros = type(batch)({**batch.inputs, "i": batch.inputs["i"] * ~LACK[:, None, None, None]}, {}, batch.targets)
    assert torch.equal(run(plain, batch.without("i", LACK)), run(plain, zeros))
    assert torch.equal(run(untrained, batch.without("i", LACK)), run(plain, zeros))


def test_weights_of_networks_without_one(modalities, make_config, task):
    config = make_config({"v": "mlp", "s": "mlp"}, fusion="sum")
    plain, other = (build_network(config, list(modalities.values()), task, drops=drops) for drops in (False, True))
    other.streams["v"].placeholder.shift.data.fill_(3.0)
    state = {key: value.clone() for key, value in other.state_dict().items()}
    other.load_state_dict(plain.state_dict())
    assert not other.streams["v"].placeholder.shift.any()
    plain.load_stream("v", state)
    other.load_stream("v", state)
    assert (other.streams["v"].placeholder.shift == 3.0).all()


@pytest.mark.parametrize(
    "router", [{"kind": "sequential"}, {"reads": "inputs", "form": "mlp"}, {"reads": "cheap_route"}]
)
def test_routed_networks(modalities, make_config, make_batch, task, router):
    plain = make_config({"v": "mlp", "q": "transformer"}, fusion="concat").to_plain()
    config = NetworkConfig.parse({**plain, "router": {"routes": ["v", "v+q"], **router}})
    network = make(config, modalities, task, drops=True)
    batch = make_batch(["v", "q"], n_samples=4, lengths={"q": LENGTHS["q"]}).without("q", LACK)
    chosen = torch.tensor([1, 0, 0, 1])
    with torch.no_grad():
        dense = network.all_routes(batch.inputs, batch.masks, present=batch.present).outputs
        routed = network(batch.inputs, batch.masks, chosen, present=batch.present)
        last = network.run_route(1, batch.inputs, batch.masks, present=batch.present)[0]
        ignored = network.run_route(1, batch.inputs, batch.masks)[0]
    assert torch.allclose(routed, dense[torch.arange(4), chosen], atol=1e-5)
    assert torch.allclose(last, dense[:, 1], atol=1e-5)
    assert not torch.allclose(ignored[LACK], last[LACK], atol=1e-3)
