"""Sub-networks: outputs and costs of the network of the smaller configuration, for every part that may shrink."""

import copy

import pytest
import torch

from nasfuse.cost import count_network
from nasfuse.domain.modality import ENCODERS, Task
from nasfuse.errors import InvalidInputError
from nasfuse.nn import RoutedNetwork, build_network
from nasfuse.nn.attention import CrossAttentionBlock, SelfAttention
from nasfuse.nn.build import STREAMS
from nasfuse.nn.elastic import SubNetworks
from nasfuse.nn.fusion import FUSIONS
from nasfuse.nn.reducers import REDUCERS
from nasfuse.nn.sub_network import SubNetwork, tensors_of
from nasfuse.spec.elastic import shrinkable_fields, smaller_network
from nasfuse.spec.network import NetworkConfig
from nasfuse.spec.sites import OPERATOR_OPTIONS
from nasfuse.testing.inputs import MODALITIES, random_batch
from nasfuse.testing.suite import randomise

TASK = Task("multiclass", 4)
LENGTHS = {name: one.shape[0] for name, one in MODALITIES.items() if one.kind == "sequence"}
NAMES = {"vector": "v", "sequence": "s", "image": "i"}


def built(config):
    return build_network(config, list(MODALITIES.values()), TASK)


def smaller_values(config):
    """Half of every field that may shrink."""
    fields = {path: value for path, value in shrinkable_fields(config).items() if isinstance(value, int)}
    return {path: value // 2 for path, value in fields.items() if value > 1}


def check(config, values):
    """Outputs of sub-networks are those of the networks of their configurations, and so are their costs.

    Sub-networks are those with the smaller value of one field, and that with all of them.
    """
    whole = built(config).eval()
    randomise(whole, 0.3)
    names = list(config.route)
    lengths = {name: [3, LENGTHS[name], 1] for name in names if name in LENGTHS}
    batch, one = random_batch(names, lengths=lengths), random_batch(names, n_samples=1)
    elastic = {path: (value,) for path, value in values.items()}
    parts = SubNetworks(config, elastic, list(MODALITIES.values()), TASK, drops=False)
    alone = [{path: value} for path, value in values.items() if not path.endswith("heads")]  # which shrink with widths
    for setting in (*alone, values):
        plain = built(smaller_network(config, setting)).eval()
        weights = parts.at(setting).weights(whole)
        plain.load_state_dict({name: weights[name] for name in plain.state_dict()})
        cut = parts.cut_out(whole, setting)
        for route in range(len(whole.branches)) if isinstance(whole, RoutedNetwork) else [None]:
            options = {} if route is None else {"chosen": torch.full((3,), route)}
            outputs = parts.run(whole, setting, batch.inputs, batch.masks, **options)
            assert torch.allclose(outputs, plain(batch.inputs, batch.masks, **options), atol=1e-6), setting
            assert torch.allclose(outputs, cut(batch.inputs, batch.masks, **options), atol=1e-6), setting
            if setting == values:
                macs = cut.static_macs(LENGTHS)[0] if route is None else cut.route_macs(LENGTHS)[route]
                assert count_network(cut, one, route=route) == macs
                assert cut.static_macs(LENGTHS) != whole.static_macs(LENGTHS)
        assert cut.static_macs(LENGTHS) == plain.static_macs(LENGTHS)


@pytest.mark.parametrize(
    ("kind", "encoder"), [(kind, encoder) for kind in NAMES for encoder in STREAMS if encoder in ENCODERS[kind]]
)
def test_every_encoder_that_may_shrink(make_config, kind, encoder):
    config = make_config({NAMES[kind]: encoder}, width=16, readout="mean+max+std")
    fields = {path.rpartition(".")[2] for path in shrinkable_fields(config)}
    assert fields >= {"width", "depth"} or encoder in ("linear", "maxout")
    if fields:
        check(config, smaller_values(config))


@pytest.mark.parametrize("fusion", [*FUSIONS, "chain"])
def test_every_fusion(make_config, fusion):
    plain = make_config({"v": "mlp", "s": "transformer", "i": "conv"}, fusion="concat", width=16, depth=3).to_plain()
    shape = {"placement": 1, "width": 16} if fusion not in ("late", "chain") else {}
    options = {"gradient": "unroll", "max_steps": 3} if fusion == "equilibrium" else {}
    plain["fusion"] = {"kind": fusion, **shape, **options}
    for stream in plain["streams"].values():  # so that no projection is missing in a smaller network
        stream["width"] = 20
        stream.pop("heads", None)
        if "readout" in stream or stream["encoder"] == "conv":
            stream["readout"] = "mean+max"
    config = NetworkConfig.parse(plain)
    check(config, smaller_values(config))


@pytest.mark.parametrize("operator", OPERATOR_OPTIONS)
def test_every_operator_of_a_fusion_at_sites(operator):
    streams = {name: {"encoder": "conv", "depth": 2, "width": width} for name, width in (("i", 16), ("v", 20))}
    streams["v"]["encoder"] = "mlp"
    config = NetworkConfig.parse(
        {"route": ["i", "v"], "streams": streams, "fusion": {"kind": "sites", "operator": operator, "main": "i"}}
    )
    check(config, smaller_values(config))


@pytest.mark.parametrize("reducer", REDUCERS)
def test_every_reducer(make_config, reducer):
    plain = make_config(
        {"s": "transformer", "i": "transformer"}, fusion="joint_tokens", width=16, reducer=(reducer, 0.5)
    ).to_plain()
    if reducer not in ("gumbel", "latent"):  # which fusions have not
        plain["fusion"]["reducer"] = {"kind": reducer, "keep_ratio": 0.5}
    for stream in plain["streams"].values():
        stream["width"] = 20
        del stream["heads"]
    config = NetworkConfig.parse(plain)
    check(config, smaller_values(config))


@pytest.mark.parametrize(
    "router",
    [
        {"reads": "cheap_route", "form": "linear"},
        {"reads": "cheap_route", "form": "mlp"},
        {"reads": "inputs", "form": "mlp"},
        {"reads": "cheapest_stream", "form": "mlp"},
        {"reads": "stems", "form": "linear"},
        {"reads": "stems", "form": "conv"},
        {"kind": "sequential"},
    ],
    ids=lambda router: "-".join(router.values()),
)
def test_every_router(make_config, router):
    plain = make_config({"i": "conv", "s": "conv"}, fusion="sum", width=16, readout="mean+max", placement=2).to_plain()
    for name, width in (("i", 10), ("s", 20)):
        plain["streams"][name]["width"] = width
    routes = ["i", "i+s:1", "i+s"]
    if router.get("form") == "conv":  # reads maps
        plain = {**plain, "route": ["i"], "streams": {"i": plain["streams"]["i"]}}
        del plain["fusion"]
        routes = ["i:1", "i"]
    plain["router"] = {"routes": routes, **router, **({} if router.get("kind") else {"width": 4})}
    config = NetworkConfig.parse(plain)
    check(config, {path: value for path, value in smaller_values(config).items() if path.endswith("width")})


def test_routes_in_another_order_of_costs_are_no_part(make_config):
    plain = make_config({"v": "mlp", "s": "mlp"}, fusion="sum", width=16).to_plain()
    plain["router"] = {"routes": ["v", "s", "v+s"]}
    config = NetworkConfig.parse(plain)
    with pytest.raises(InvalidInputError, match="the routes of the smaller network have another order of costs"):
        SubNetwork.of(built(smaller_network(config, {"network.streams.s.width": 2})), built(config))


def only_the_part(part, whole):
    """The whole module with zeros for all weights that the part has not."""
    copied, numbered = copy.deepcopy(whole), copy.deepcopy(whole)
    found = SubNetwork.of(part, whole)
    with torch.no_grad():
        for tensor in tensors_of(numbered).values():
            tensor.copy_(torch.arange(tensor.numel()).reshape(tensor.shape))
        kept = found.weights(numbered)
        for name, tensor in tensors_of(copied).items():
            is_kept = torch.isin(torch.arange(tensor.numel()), kept[name].flatten().long())
            tensor.mul_(is_kept.reshape(tensor.shape))
    return copied


@pytest.mark.parametrize("make", [SelfAttention, CrossAttentionBlock])
def test_a_narrower_attention_has_the_leading_heads(make):
    options = {} if make is SelfAttention else {"mlp_ratio": 1, "dropout": 0.0}
    whole, part = (make(width, heads=heads, **options) for width, heads in ((8, 4), (4, 2)))
    weights = SubNetwork.of(part, whole).weights(whole)
    part.load_state_dict(weights)
    x, y = torch.randn(2, 5, 8), torch.randn(2, 3, 8)
    x[..., 4:] = y[..., 4:] = 0
    zeroed = only_the_part(part, whole)
    if make is SelfAttention:
        assert torch.allclose(zeroed(x, None)[..., :4], part(x[..., :4], None), atol=1e-6)
    else:  # its norms depend on the number of features
        for one in (whole, part, zeroed):
            one.norm_target = one.norm_source = one.mlp = torch.nn.Identity()
        assert torch.allclose(zeroed(x, y, None)[..., :4], part(x[..., :4], y[..., :4], None), atol=1e-6)


@pytest.mark.parametrize("fusion", ["concat", "sum", "gated", "low_rank"])
def test_a_fusion_reads_the_features_that_are_left_of_each_stream(fusion):
    streams = {
        name: {"encoder": "conv", "depth": 0, "width": width, "readout": readout}
        for name, width, readout in (("i", 8, "mean+max"), ("s", 6, "max+mean+share_above"))
    }
    config = NetworkConfig.parse(
        {"route": ["i", "s"], "streams": streams, "fusion": {"kind": fusion, "width": 20, "placement": 0}}
    )
    whole = built(config).eval()
    randomise(whole, 0.5)
    part = built(smaller_network(config, {"network.streams.i.width": 4, "network.streams.s.width": 5})).eval()
    part.load_state_dict(SubNetwork.of(part, whole).weights(whole))
    fused = []
    for network in (only_the_part(part, whole), part):
        network.branch.fusion.register_forward_hook(lambda *args: fused.append(args[2]))
        torch.manual_seed(1)
        batch = random_batch(["i", "s"])
        network(batch.inputs, batch.masks)
    assert torch.allclose(*fused, atol=1e-5)


def test_a_chain_reads_the_features_that_are_left():
    streams = {name: {"encoder": "mlp", "depth": 1, "width": width} for name, width in (("v", 8), ("s", 6))}
    config = NetworkConfig.parse({"route": ["v", "s"], "streams": streams, "fusion": {"kind": "chain", "width": 8}})
    whole, part = (
        built(config),
        built(smaller_network(config, {"network.streams.v.width": 4, "network.fusion.width": 3})),
    )
    weight = whole.branch.chain.cells[1].weight
    columns = [0, 1, 2, 3, *range(8, 14), 14, 15, 16]
    assert torch.equal(SubNetwork.of(part, whole).weights(whole)["branch.chain.cells.1.weight"], weight[:3, columns])


def test_gradients_go_into_the_whole_network_where_the_part_is(make_config):
    config = make_config({"v": "mlp", "s": "conv"}, fusion="concat", width=8)
    whole = built(config)
    randomise(whole, 0.3)
    parts = SubNetworks(config, {"network.streams.v.width": (4,)}, list(MODALITIES.values()), TASK, drops=False)
    batch = random_batch(["v", "s"])
    parts.run(whole, parts.smallest, batch.inputs, batch.masks).sum().backward()
    gradient = whole.streams["v"].stem.project.weight.grad
    assert (gradient[:4] != 0).any()
    assert (gradient[4:] == 0).all()


def test_draws_take_every_value_and_depend_on_the_generator_alone(make_config):
    config = make_config({"v": "mlp", "s": "conv"}, fusion="concat", width=8)
    elastic = {"network.streams.v.width": (2, 4), "network.streams.s.depth": (0, 1)}
    parts = SubNetworks(config, elastic, list(MODALITIES.values()), TASK, drops=False)
    draws = [parts.draw(generator) for generator in [torch.Generator().manual_seed(3)] for _ in range(60)]
    again = [parts.draw(generator) for generator in [torch.Generator().manual_seed(3)] for _ in range(60)]
    assert draws == again
    assert {draw.get("network.streams.v.width") for draw in draws} == {2, 4, None}
    assert {draw.get("network.streams.s.depth") for draw in draws} == {0, 1, None}


def test_widths_that_only_shrink_together(make_config):
    """Without projections between equal widths, a smaller network must have equal widths as well."""
    plain = make_config({"v": "mlp", "s": "conv"}, fusion="sum", width=8).to_plain()
    plain["streams"]["s"]["width"] = 8
    config = NetworkConfig.parse(plain)
    paths = ("network.streams.v.width", "network.streams.s.width", "network.fusion.width")
    parts = SubNetworks(config, dict.fromkeys(paths, (4,)), list(MODALITIES.values()), TASK, drops=False)
    generator = torch.Generator().manual_seed(0)
    assert {len(parts.draw(generator)) for _ in range(50)} == {0, 3}
    with pytest.raises(InvalidInputError, match=r"elastic: the smallest .*layer of branch\.fusion\.project.*together$"):
        SubNetworks(config, {paths[0]: (4,)}, list(MODALITIES.values()), TASK, drops=False)


def test_a_value_that_no_network_has(make_config):
    config = make_config({"s": "transformer"}, width=16)
    with pytest.raises(
        InvalidInputError, match=r"elastic: network\.streams\.s\.width cannot be 9: .*heads must divide width"
    ):
        SubNetworks(
            config,
            {"network.streams.s.width": (8, 9)},
            list(MODALITIES.values()),
            TASK,
            drops=False,
        )
