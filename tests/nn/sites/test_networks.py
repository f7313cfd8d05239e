"""Networks with fusion at several sites: what runs, what routes share, what it costs, and what is refused."""

import pytest
import torch

from nasfuse.cost import count_network
from nasfuse.data.dataset import Batch
from nasfuse.domain.modality import Modality, Task
from nasfuse.errors import ConfigError, InvalidInputError
from nasfuse.nn import build_network
from nasfuse.nn.places import Line, Place, Taken, places_macs
from nasfuse.spec.network import NetworkConfig
from nasfuse.testing import RoutedSuite, RouterSuite
from nasfuse.testing.inputs import MODALITIES

TASK = Task("multiclass", 4)
RESNET = {"encoder": "resnet", "width": 4, "depth": 2, "stride": 1}
PAIR = [Modality("rgb", "image", (3, 9, 7)), Modality("depth", "image", (1, 9, 7))]


def parse(streams, **more):
    return NetworkConfig.parse({"route": list(streams), "streams": streams, **more})


def pair(fusion=None, **more):
    return parse({"rgb": RESNET, "depth": RESNET}, fusion={"kind": "sites", **(fusion or {})}, **more)


def of_four(router):
    """A network over all kinds of modalities: attention reads any number of tokens."""
    encoders = {"v": "mlp", "i": "conv", "s": "transformer", "q": "conv"}
    streams = {name: {"encoder": encoder, "width": 8, "depth": 2} for name, encoder in encoders.items()}
    config = parse(streams, fusion={"kind": "sites", "operator": "cross_attention", "mlp_ratio": 1}, router=router)
    return build_network(config, list(MODALITIES.values()), TASK)


@pytest.mark.parametrize(("reads", "form"), [("stems", "mlp"), ("cheap_route", "mlp"), ("cheapest_stream", "linear")])
class TestGate(RouterSuite):
    @pytest.fixture
    def make_network(self, reads, form):
        routes = ["v", "v+i:1", "v+i:1+s:0", "v+i+s+q"]
        return lambda: of_four({"routes": routes, "reads": reads, "form": form, "width": 4})


class TestSequential(RoutedSuite):
    @pytest.fixture
    def make_network(self):
        return lambda: of_four({"kind": "sequential", "routes": ["v", "v+i:1", "v+i:1+s:1", "v+i+s+q"]})


class TestPlaces:
    """The line of the main stream, by hand."""

    network = build_network(pair({"sites": [{"rgb": 0, "depth": 0}, {"rgb": 1, "depth": 2}]}), PAIR, TASK)

    def test_a_route_takes_part_in_the_sites_that_it_reaches(self):
        sites = self.network.sites
        first, second = Taken(0, ("depth",)), Taken(1, ("depth",))
        assert sites.line({"rgb": 2}) == Line("rgb")
        assert sites.line({"rgb": 2, "depth": 1}) == Line("rgb", (first,))
        assert sites.line({"rgb": 2, "depth": 2}) == Line("rgb", (first, second))
        assert sites.inputs(Line("rgb", (first, second))) == (
            Place(Line("rgb", (first,)), 1),
            {"depth": Place(Line("depth"), 2)},
        )
        assert sites.at_stage(Line("rgb", (first, second)), 0) == Place(Line("rgb", (first,)), 0)

    def test_output_is_that_of_the_parts_one_after_the_other(self):
        torch.manual_seed(0)
        network = self.network.eval()
        inputs = {one.name: torch.randn(3, *one.shape) for one in PAIR}
        rgb, depth = (network.streams[one.name] for one in PAIR)
        x, other = rgb.stem(inputs["rgb"], None), depth.stem(inputs["depth"], None)
        x = network.sites.operators[0](x, {"depth": other})
        x = rgb.stages[0](x)
        x = network.sites.operators[1](x, {"depth": from_second_scale(depth, other, x)})
        expected = network.branch.head(rgb.stages[1](x).mean())
        assert torch.allclose(network(inputs, {}), expected, atol=1e-6)

    def test_what_two_places_share_is_counted_once(self):
        streams, sites = self.network.streams, self.network.sites
        places = [Place(sites.line({"rgb": 2, "depth": n}), 2) for n in (0, 2)]
        alone = [places_macs(streams, [place], {}, sites=sites)[0] for place in places]
        together = places_macs(streams, places, {}, sites=sites)[0]
        shared = [Place(Line("rgb", (Taken(0, ("depth",)),)), 1)]
        assert together == sum(alone) - places_macs(streams, shared, {}, sites=sites)[0]


def from_second_scale(stream, tokens, main):
    for stage in stream.stages:
        tokens = stage(tokens)
    (height, width), (fine_height, fine_width) = tokens.grid, main.grid
    grown = torch.nn.functional.adaptive_avg_pool2d(tokens.as_map(), (fine_height, fine_width))
    assert (height, width) == (5, 4)
    return main.with_values(grown.flatten(2).transpose(1, 2))


class TestNumberedSites:
    def sites(self, depths=(2, 2), **fusion):
        streams = {name: {**RESNET, "depth": depth} for name, depth in zip(("rgb", "depth"), depths, strict=True)}
        return [tuple(one.values()) for one in parse(streams, fusion={"kind": "sites", **fusion}).sites]

    def test_every_stage_the_first_or_the_last(self):
        assert self.sites() == [(0, 0), (1, 1), (2, 2)]
        assert self.sites(n_sites=1, position="first") == [(0, 0)]
        assert self.sites(n_sites=2) == [(1, 1), (2, 2)]
        assert self.sites(n_sites=9) == [(0, 0), (1, 1), (2, 2)]

    def test_a_shallower_stream_takes_part_after_its_last_stage(self):
        assert self.sites(depths=(3, 1)) == [(0, 0), (1, 1), (2, 1), (3, 1)]
        assert self.sites(depths=(1, 3), n_sites=1) == [(1, 1)]

    def test_the_main_stream_is_the_first_that_every_route_has(self):
        router = {"routes": ["depth", "rgb+depth"]}
        assert pair(router=router).main == "depth"
        assert pair().main == "rgb"
        assert pair({"main": "depth"}).main == "depth"


def test_sites_as_one_word():
    config = pair({"sites": "rgb:0+depth:2 > rgb:1+depth:1"})
    assert config.sites == ({"rgb": 0, "depth": 2}, {"rgb": 1, "depth": 1})
    assert NetworkConfig.parse(config.to_plain()) == config
    with pytest.raises(ConfigError, match=r"fusion\.sites.*must be an integer, got None"):
        pair({"sites": "rgb:0+depth"})


def test_stages_behind_the_last_site_are_not_built():
    config = pair({"sites": [{"rgb": 2, "depth": 1}]})
    assert config.depths == {"rgb": 2, "depth": 1}
    config = pair(router={"routes": ["rgb", "rgb+depth:0"]})
    network = build_network(config, PAIR, TASK)
    assert len(network.streams["depth"].stages) == 0
    assert len(network.sites.sites) == 1


def test_routes_share_head_and_operators():
    network = build_network(pair(router={"routes": ["rgb", "rgb+depth:1", "rgb+depth"]}), PAIR, TASK)
    assert len({id(branch.head) for branch in network.branches}) == 1
    static = build_network(pair(), PAIR, TASK)
    own = sum(p.numel() for part in network.parts() for p in part.parameters())
    assert own == sum(p.numel() for p in static.parameters())


@pytest.mark.parametrize("n_samples", [1, 3])
def test_a_chain_is_its_cells_one_after_the_other(n_samples):
    fusion = {"kind": "chain", "sites": [{"rgb": 0, "depth": 2}, {"rgb": 2, "depth": 1}], "activation": "sigmoid"}
    network = build_network(parse({"rgb": RESNET, "depth": RESNET}, fusion={**fusion, "width": 5}), PAIR, TASK).eval()
    inputs = {one.name: torch.randn(n_samples, *one.shape) for one in PAIR}
    at = {(name, n): network.streams[name](inputs[name], None, n_stages=n).mean() for name in inputs for n in range(3)}
    one, two = network.branch.chain.cells
    h = torch.sigmoid(torch.cat([at["rgb", 0], at["depth", 2]], dim=1) @ one.weight.T + one.bias)
    h = torch.sigmoid(torch.cat([at["rgb", 2], at["depth", 1], h], dim=1) @ two.weight.T + two.bias)
    assert torch.allclose(network(inputs, {}), network.branch.head(h), atol=1e-6)
    assert network.branch.chain.macs() == 5 * (4 + 8) + 5 * (8 + 4 + 5)
    assert network.static_macs({}) == [count_network(network, Batch(inputs, {}, torch.zeros(n_samples)))]


def test_a_route_of_a_chain_has_the_cells_that_it_reaches():
    router = {"routes": ["rgb", "rgb+depth:1", "rgb+depth"]}
    config = parse({"rgb": RESNET, "depth": RESNET}, fusion={"kind": "chain"}, router=router)
    network = build_network(config, PAIR, TASK).eval()
    inputs = {one.name: torch.randn(2, *one.shape) for one in PAIR}
    batch = Batch(inputs, {}, torch.zeros(2))
    assert network.route_macs({}) == [count_network(network, batch, route=number) for number in range(3)]
    assert [len(branch.places) for branch in network.branches] == [1, 5, 6]


@pytest.mark.parametrize(
    ("fusion", "message"),
    [
        ({"sites": [{"rgb": 1, "thermal": 1}]}, "site 1 names stream 'thermal'; Known: depth, rgb"),
        ({"sites": [{"rgb": 3, "depth": 1}]}, "site 1 comes after 3 stages of rgb, which has 2; use at most 2"),
        ({"sites": [{"rgb": 1, "depth": 1}] * 2}, "site 2 comes after 1 stages of rgb, the site before it after 1"),
        ({"main": "thermal"}, "the network has no stream 'thermal'"),
    ],
)
def test_sites_that_do_not_exist_are_refused(fusion, message):
    with pytest.raises(ConfigError, match=message):
        pair(fusion)


@pytest.mark.parametrize(
    ("routes", "message"),
    [
        (["rgb", "depth"], "does not run rgb, the main stream, which head and decoder read; add it"),
        (["rgb:1", "rgb+depth"], "rgb:1 ends rgb early, whose last stage is read; write rgb alone"),
        (["rgb", "rgb+depth:0"], "rgb\\+depth:0 ends depth where no site reads it; sites read it after 1, 2 stages"),
    ],
)
def test_routes_that_end_elsewhere_are_refused(routes, message):
    with pytest.raises(ConfigError, match=message):
        pair({"n_sites": 2, "main": "rgb"}, router={"routes": routes})


def test_streams_without_features_are_refused():
    with pytest.raises(ConfigError, match="stream depth is one linear map, which has no features for sites"):
        parse({"rgb": RESNET, "depth": {"encoder": "linear"}}, fusion={"kind": "sites"})


def test_tokens_that_do_not_correspond_are_refused():
    streams = {"i": RESNET, "s": {"encoder": "conv", "width": 4}}
    config = parse(streams, fusion={"kind": "sites", "operator": "sum", "n_sites": 1, "position": "first"})
    known = [MODALITIES["i"], MODALITIES["s"]]
    with pytest.raises(InvalidInputError, match="at site 1, i has a map of 7 x 6 and s 11 tokens, which do not"):
        build_network(config, known, TASK)


def test_the_last_site_may_have_another_operator():
    network = build_network(pair({"last_operator": "cross_attention"}), PAIR, TASK)
    kinds = [type(operator).__name__ for operator in network.sites.operators]
    assert kinds == ["SiteSeAdd", "SiteSeAdd", "SiteCrossAttention"]


def test_heads_that_do_not_divide_are_refused():
    with pytest.raises(InvalidInputError, match="heads: 3 does not divide the width 4 of the main stream at site 1"):
        build_network(pair({"operator": "cross_attention", "heads": 3}), PAIR, TASK)
