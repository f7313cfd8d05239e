"""Routed networks: every router through the conformance suite, then what runs, what it gives, what it costs."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nasfuse.cost import count_network
from nasfuse.nn import build_network
from nasfuse.nn.reducers import REDUCERS
from nasfuse.spec.network import NetworkConfig
from nasfuse.testing import RouterSuite
from nasfuse.testing.router import ENCODERS, LENGTHS, ROUTES

READS = [
    ("inputs", "linear"),
    ("inputs", "mlp"),
    ("inputs", "conv"),
    ("inputs", "transformer"),
    ("cheapest_stream", "linear"),
    ("cheapest_stream", "mlp"),
    ("cheapest_stream", "conv"),
    ("cheapest_stream", "transformer"),
    ("stems", "linear"),
    ("stems", "mlp"),
    ("cheap_route", "linear"),
    ("cheap_route", "mlp"),
]

ROUTER_INPUTS = list(dict.fromkeys(reads for reads, _ in READS))

SHALLOW = {"v": "mlp", "s": "conv", "i": "conv"}


@pytest.fixture(scope="session")
def make_routed(make_config, modalities, task):
    def make(
        routes=ROUTES,
        *,
        reads="cheap_route",
        form="mlp",
        encoders=ENCODERS,
        fusion="gated",
        placement=2,
        tokens=None,
        **more,
    ):
        """`tokens` are options of the transformer streams, see `make_config`."""
        plain = make_config(encoders, fusion=fusion, placement=placement, **(tokens or {})).to_plain()
        plain["router"] = {"routes": routes, "reads": reads, "form": form, "width": 4, **more}
        known = [modalities[name] for name in encoders]
        return build_network(NetworkConfig.parse(plain), known, task).eval()

    return make


def batch_of(make_batch, *, n_samples):
    lengths = {"s": torch.arange(n_samples) % 12, "q": 9 - torch.arange(n_samples) % 10}
    return make_batch(list(ENCODERS), n_samples=n_samples, lengths=lengths)


class TestSuite(RouterSuite):
    @pytest.fixture(params=READS, ids="-".join)
    def make_network(self, request, make_routed):
        reads, form = request.param
        return lambda: make_routed(reads=reads, form=form)


@pytest.mark.parametrize("kind", REDUCERS)
@pytest.mark.parametrize("readout", ["mean", "cls"])
@pytest.mark.parametrize("reads", ROUTER_INPUTS)
def test_conditional_execution_equals_dense_one_with_reduced_tokens(make_routed, make_batch, kind, readout, reads):
    encoders = {"s": "transformer", "i": "transformer", "q": "transformer"}
    tokens = {"reducer": (kind, 0.3), "readout": readout, "window": 4}
    routes = ["s:1", "s+i:1", "s+i+q"]
    network = make_routed(routes, reads=reads, encoders=encoders, fusion="joint_tokens", tokens=tokens)
    lengths = {"s": torch.arange(17) % 12, "q": 9 - torch.arange(17) % 10}
    batch = make_batch(list(encoders), n_samples=17, lengths=lengths)
    rows = torch.arange(17)
    with torch.inference_mode():
        outputs = network.all_routes(batch.inputs, batch.masks).outputs
        chosen = rows % 3
        assert (network(batch.inputs, batch.masks, chosen) - outputs[rows, chosen]).abs().max() < 1e-5
    # The cost of a route is a sum over its parts, so it is enough to count each, reducers with each readout.
    if (list(REDUCERS).index(kind) + 2 * (readout == "cls")) % len(ROUTER_INPUTS) == ROUTER_INPUTS.index(reads):
        one = make_batch(list(encoders), n_samples=1)
        counted = [count_network(network, one, route=number) for number in range(3)]
        assert counted == network.route_macs(LENGTHS)


@settings(max_examples=25)
@given(
    n_samples=st.integers(1, 60),
    which=st.integers(0, 7),
    threshold=st.floats(0.01, 0.99),
    read=st.sampled_from(READS),
)
def test_conditional_execution_holds_for_any_batch_routes_and_threshold(
    n_samples, which, threshold, read, make_routed, make_batch
):
    routes = ["v", *[route for bit, route in enumerate(ROUTES[1:4]) if which >> bit & 1], ROUTES[4]]
    network = make_routed(routes, reads=read[0], form=read[1], threshold=threshold)
    batch = batch_of(make_batch, n_samples=n_samples)
    with torch.inference_mode():
        dense = network.all_routes(batch.inputs, batch.masks)
        price = torch.logit(torch.tensor(threshold, dtype=torch.float64))
        chosen = (dense.gate.double() - price * network.relative_costs).argmax(dim=1)
        outputs = network(batch.inputs, batch.masks)
    assert (outputs - dense.outputs[torch.arange(n_samples), chosen]).abs().max() < 1e-5


def rows_run(network, name, inputs, masks, chosen):
    """Returns how many samples pass the stem and each stage of stream `name`."""
    counts = {}
    stream = network.streams[name]
    parts = {"stem": stream.stem, **dict(enumerate(stream.stages))}

    def note(key):
        def hook(_module, arguments, result):
            counts[key] = counts.get(key, 0) + len(result.values)

        return hook

    hooks = [part.register_forward_hook(note(key)) for key, part in parts.items()]
    with torch.inference_mode():
        network(inputs, masks, chosen)
    for hook in hooks:
        hook.remove()
    return counts


def test_stages_that_no_chosen_route_needs_are_not_computed(make_routed, make_batch):
    network = make_routed()
    batch = batch_of(make_batch, n_samples=10)
    names = network.route_names
    assert set(names) == set(ROUTES)
    chosen = torch.tensor([names.index(route) for route in ("v",) * 4 + ("v+i:1",) * 3 + ("v+i",) * 2 + ("s+q:0",)])
    run = {name: rows_run(network, name, batch.inputs, batch.masks, chosen) for name in ENCODERS}
    assert run["v"] == {"stem": 10, 0: 10, 1: 10}  # the cheap route runs for the router, and is gone on from
    assert run["i"] == {"stem": 5, 0: 5, 1: 2}
    assert run["s"] == {"stem": 1, 0: 1, 1: 1}
    assert run["q"] == {"stem": 1}


@pytest.mark.parametrize(("reads", "form"), READS)
def test_closed_form_of_macs_equals_the_count_for_fusions_of_tokens(make_routed, make_batch, reads, form):
    network = make_routed(reads=reads, form=form, fusion="cross_attention")
    batch = make_batch(list(ENCODERS), n_samples=2)
    counted = [count_network(network, batch, route=number) for number in range(len(ROUTES))]
    assert network.route_macs(LENGTHS) == counted


@pytest.mark.parametrize(("reads", "form"), READS)
@pytest.mark.parametrize("placement", [0, 1])
def test_the_formula_holds_where_the_cheap_route_goes_deeper_than_the_fusion(
    make_routed, make_batch, reads, form, placement
):
    network = make_routed(["v", "v+s", "i"], reads=reads, form=form, placement=placement, encoders=SHALLOW)
    batch = make_batch(list(SHALLOW), n_samples=2)
    assert network.route_macs(LENGTHS) == [count_network(network, batch, route=number) for number in range(3)]


def test_static_routes_cost_what_static_networks_cost(make_routed, make_config, modalities, task):
    network = make_routed(["v+i", "v+i+s+q"])
    alone = build_network(
        make_config({"v": "mlp", "i": "conv"}, fusion="gated", placement=2), list(modalities.values()), task
    )
    assert network.static_macs(LENGTHS)[0] == alone.macs({})


def test_routes_are_ordered_by_cost_whatever_the_recipe_says(make_routed):
    for routes in itertools.permutations(["v", "v+i", "v+i+s+q"]):
        network = make_routed(list(routes))
        assert network.route_names == ("v", "v+i", "v+i+s+q")
        assert network.static_macs(LENGTHS) == sorted(network.static_macs(LENGTHS))
        assert network.relative_costs[[0, -1]].tolist() == [0.0, 1.0]


def test_routes_are_ordered_by_what_they_cost_once_the_router_has_run(make_config, modalities, task):
    """Alone s costs less than v; after the router has read v:5, v is nearly there."""
    plain = make_config({"v": "mlp", "s": "mlp"}, fusion="concat", placement=2).to_plain()
    plain["streams"]["v"].update(depth=6, width=32)
    plain["streams"]["s"].update(depth=1, width=68)
    plain["router"] = {"routes": ["s", "v", "v:5"], "width": 4}
    network = build_network(NetworkConfig.parse(plain), list(modalities.values()), task)
    assert network.route_names == ("v:5", "v", "s")
    v, s = network.static_macs(LENGTHS)[1:]
    assert s < v
    costs = network.route_macs(LENGTHS)
    assert costs == sorted(costs)
    expected = [(cost - costs[0]) / (costs[-1] - costs[0]) for cost in costs]
    assert network.relative_costs.tolist() == pytest.approx(expected)


def test_a_cascade_costs_both_routes_less_what_they_share(make_routed):
    network = make_routed(["v", "v+i+s+q"], reads="inputs")
    cheap, full = network.static_macs(LENGTHS)
    shared, _ = network.streams["v"].macs(0, n_stages=2)
    assert network.cascade_macs(LENGTHS) == [cheap, cheap + full - shared]
