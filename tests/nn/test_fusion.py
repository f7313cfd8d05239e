"""Fusion operators: every entry of the registry through the conformance suite, then in networks and one by one."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from nasfuse.nn import build_network
from nasfuse.nn.fusion import FUSIONS
from nasfuse.nn.head import LinearHead
from nasfuse.nn.reducers import REDUCERS
from nasfuse.nn.tokens import Tokens
from nasfuse.spec.network import NetworkConfig
from nasfuse.spec.schema.fields import accepts
from nasfuse.testing import FusionSuite
from nasfuse.testing.fusion import WIDTHS

#: A fixed number of steps: what is found must not depend on a solver's tolerance, see tests/nn/equilibrium.
OPTIONS = {
    "equilibrium": {"gradient": "unroll", "max_steps": 3},
    "equilibrium on tokens": {"gradient": "unroll", "max_steps": 3, "level": "tokens"},
    "equilibrium of a mixing cell": {"gradient": "unroll", "max_steps": 3, "cell": "mixing"},
    "equilibrium of untied mixing cells": {"gradient": "unroll", "max_steps": 2, "cell": "mixing", "tied": False},
    "late with learned weights": {"weights": "learned"},
}

NAMES = list(dict.fromkeys([*FUSIONS, *OPTIONS]))


def build(name, widths=WIDTHS, *, n_joint=1, width=4):
    """An operator with the default options of its configuration class and those of `OPTIONS`."""
    kind = name.split()[0]
    streams = {stream: {"encoder": "mlp"} for stream in widths}
    of_outputs = FUSIONS[kind].fuses_outputs
    fusion = {"kind": kind, **({} if of_outputs else {"width": width}), **OPTIONS.get(name, {})}
    config = NetworkConfig.parse({"route": list(widths), "streams": streams, "fusion": fusion})
    options = config.fusion.model_dump(exclude={"kind", "placement"})
    if of_outputs:
        heads = {stream: LinearHead(own, n_outputs=width, dropout=0.0) for stream, own in widths.items()}
        return FUSIONS[kind](heads, **options)
    return FUSIONS[kind](widths, n_joint=n_joint, **options)


class TestSuite(FusionSuite):
    @pytest.fixture(params=NAMES)
    def make_fusion(self, request):
        return lambda widths, *, n_joint: build(request.param, widths, n_joint=n_joint)


@pytest.mark.parametrize("name", NAMES)
def test_the_state_dictionary_holds_parameters_alone(name):
    fusion = build(name)
    assert set(fusion.state_dict()) == {key for key, _ in fusion.named_parameters()}


@pytest.mark.parametrize("name", [one for one in (*FUSIONS, *OPTIONS) if one not in ("bottleneck", "joint_tokens")])
def test_sizes_that_are_all_equal_have_no_effect(name):
    """Except where an operator has tokens of its own, of size 1, among those of the streams."""
    fusion = build(name, width=8).eval()
    plain = {name: Tokens(torch.randn(2, 3, width)) for name, width in WIDTHS.items()}
    equal = {name: Tokens(one.values, sizes=torch.full((2, 3), 2.0)) for name, one in plain.items()}
    assert torch.allclose(fusion(equal), fusion(plain), atol=1e-5)


def assert_alone_as_together(network, batch, lengths):
    """Each sample alone, with no more padding than its longest sequence needs, and all with more of it."""
    with torch.no_grad():
        together = network(batch.inputs, batch.masks)
        assert torch.isfinite(together).all()
        for row in range(len(together)):
            shown = {name: max(values[row], 1) for name, values in lengths.items()}
            inputs = {name: x[row : row + 1, : shown.get(name)] for name, x in batch.inputs.items()}
            masks = {name: x[row : row + 1, : shown[name]] for name, x in batch.masks.items()}
            assert torch.allclose(network(inputs, masks)[0], together[row], atol=1e-5)


@pytest.mark.parametrize("encoder", ["transformer", "conv", "mlp"])
@pytest.mark.parametrize("kind", FUSIONS)
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_fused_sample_does_not_depend_on_its_batch_or_its_padding(
    make_config, make_batch, modalities, task, kind, encoder, data
):
    longest = {"s": modalities["s"].shape[0], "q": modalities["q"].shape[0]}
    lengths = {name: data.draw(st.lists(st.integers(0, n), min_size=3, max_size=3)) for name, n in longest.items()}
    placement = data.draw(st.integers(0, 3))
    config = make_config(
        {"s": encoder, "i": "conv", "q": encoder}, fusion=kind, placement=placement, stride=2, reducer=("max", 0.5)
    )
    network = build_network(config, list(modalities.values()), task).eval()
    assert_alone_as_together(network, make_batch(["s", "i", "q"], lengths=lengths), lengths)


@pytest.mark.parametrize("kind", ["joint_tokens", "bottleneck", "cross_attention", "concat"])
@pytest.mark.parametrize("reducer", REDUCERS)
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_fused_sample_of_reduced_tokens_does_not_depend_on_its_batch_or_its_padding(
    make_config, make_batch, modalities, task, kind, reducer, data
):
    longest = {"s": modalities["s"].shape[0], "q": modalities["q"].shape[0]}
    lengths = {name: data.draw(st.lists(st.integers(0, n), min_size=3, max_size=3)) for name, n in longest.items()}
    ratio, window = data.draw(st.sampled_from([0.05, 0.3, 0.6])), data.draw(st.sampled_from([None, 2, 5]))
    readout, placement = data.draw(st.sampled_from(["mean", "cls"])), data.draw(st.integers(0, 2))
    streams = dict.fromkeys(("s", "i", "q"), "transformer")
    config = make_config(
        streams, fusion=kind, placement=placement, reducer=(reducer, ratio), window=window, readout=readout, depth=3
    )
    if kind == "joint_tokens" and accepts(NetworkConfig, "fusion.reducer.kind", reducer):
        plain = config.to_plain()
        plain["fusion"]["reducer"] = {"kind": reducer, "keep_ratio": ratio}
        config = NetworkConfig.parse(plain)
    network = build_network(config, list(modalities.values()), task).eval()
    assert_alone_as_together(network, make_batch(["s", "i", "q"], lengths=lengths), lengths)


@pytest.mark.parametrize("kind", FUSIONS)
@pytest.mark.parametrize("readout", ["mean", "cls"])
def test_modalities_of_padding_alone_are_ignored(make_config, make_batch, modalities, task, kind, readout):
    """Whatever stands in them, also where every modality of a sample is empty; gradients stay finite."""
    config = make_config(
        {"s": "transformer", "q": "transformer"}, fusion=kind, reducer=("top_k", 0.3), readout=readout, window=3
    )
    network = build_network(config, list(modalities.values()), task).eval()
    batch = make_batch(["s", "q"], lengths={"s": [0, 0, 11], "q": [0, 5, 0]})
    outputs = network(batch.inputs, batch.masks)
    outputs.sum().backward()
    assert torch.isfinite(outputs).all()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
    changed = {"s": batch.inputs["s"].clone(), "q": batch.inputs["q"].clone()}
    changed["s"][:2] = 100 * torch.randn(2, 11, 5)
    changed["q"][0] = 3
    assert torch.allclose(network(changed, batch.masks), outputs, atol=1e-5)


class TestEquilibriumOnTokens:
    def make(self):
        return build("equilibrium on tokens", width=16).eval()

    def test_equal_lengths_are_fused_token_by_token(self):
        fusion = self.make()
        states = {name: Tokens(torch.randn(2, 5, width)) for name, width in WIDTHS.items()}
        features = [fusion.project[name](tokens.values).flatten(0, 1) for name, tokens in states.items()]
        expected = fusion.joint[0](fusion.layer(features).view(2, 5, -1).mean(dim=1))
        assert torch.allclose(fusion(states), expected, atol=1e-6)

    def test_a_token_is_the_mean_of_its_share(self):
        fusion = self.make()
        long, short = Tokens(torch.randn(1, 6, 4)), Tokens(torch.randn(1, 2, 4))
        means = Tokens(long.values.view(1, 2, 3, 4).mean(dim=2))
        other = Tokens(torch.randn(1, 2, 3))
        one, two = ({"a": tokens, "b": other, "values": short} for tokens in (long, means))
        assert torch.allclose(fusion(one), fusion(two), atol=1e-6)

    def test_merged_tokens_are_weighted_by_their_sizes(self):
        """Three equal tokens of each stream and one more, or one of size 3 and one of size 1."""
        fusion = self.make()
        once = {name: torch.randn(2, 2, width) for name, width in WIDTHS.items()}
        apart = {name: Tokens(one[:, [0, 0, 0, 1]]) for name, one in once.items()}
        sizes = torch.tensor([[3.0, 1.0], [3.0, 1.0]])
        merged = {name: Tokens(one, sizes=sizes) for name, one in once.items()}
        assert torch.allclose(fusion(merged), fusion(apart), atol=1e-6)
        padded = {
            name: Tokens(
                F.pad(one, (0, 0, 0, 1), value=9.0), torch.tensor([[1, 1, 0]] * 2).bool(), sizes=F.pad(sizes, (0, 1))
            )
            for name, one in once.items()
        }
        assert torch.allclose(fusion(padded), fusion(apart), atol=1e-6)

    def test_a_share_is_the_mean_by_sizes(self):
        fusion = self.make()
        values, sizes = torch.randn(1, 4, 4), torch.tensor([[1.0, 3.0, 2.0, 2.0]])
        means = torch.stack([(values[:, 0] + 3 * values[:, 1]) / 4, (values[:, 2] + values[:, 3]) / 2], dim=1)
        others = {"b": Tokens(torch.randn(1, 2, 3)), "values": Tokens(torch.randn(1, 2, 4))}
        one = fusion({"a": Tokens(values, sizes=sizes), **others})
        assert torch.allclose(one, fusion({"a": Tokens(means), **others}), atol=1e-6), "both shares are of size 4"

    def test_cls_tokens_are_fused_as_an_additional_token(self):
        fusion = self.make()
        states = {name: Tokens(torch.randn(2, 3, w), cls=torch.randn(2, w)) for name, w in WIDTHS.items()}
        states["b"] = Tokens(states["b"].values)  # is read at its mean
        with_cls = {
            name: Tokens(torch.cat([one.summary()[:, None], one.values], dim=1)) for name, one in states.items()
        }
        assert torch.allclose(fusion(states), fusion(with_cls), atol=1e-6)


class TestLate:
    def streams(self, n_outputs=3):
        heads = {name: LinearHead(width, n_outputs=n_outputs, dropout=0.0) for name, width in WIDTHS.items()}
        states = {name: Tokens(torch.randn(5, 2, width)) for name, width in WIDTHS.items()}
        return heads, states

    @pytest.mark.parametrize("weights", ["equal", "learned"])
    def test_probabilities_are_those_of_averaged_log_probabilities(self, weights):
        """Of classes, and of each yes/no label, where the two outcomes are the classes."""
        heads, states = self.streams()
        fusion = FUSIONS["late"](heads, weights=weights)
        shares = torch.full((3,), 1 / 3)
        if weights == "learned":
            torch.nn.init.normal_(fusion.scores)
            shares = fusion.scores.softmax(dim=0)
        fused = fusion(states)
        own = torch.stack([heads[name](states[name].mean()) for name in WIDTHS])
        for both in (own, torch.stack([own, torch.zeros_like(own)], dim=-1)):
            pooled = (shares.view(-1, *[1] * (both.dim() - 1)) * both.log_softmax(dim=-1)).sum(dim=0).softmax(dim=-1)
            found = fused.softmax(dim=1) if both is own else torch.stack([fused.sigmoid(), (-fused).sigmoid()], dim=-1)
            assert torch.allclose(found, pooled, atol=1e-6)

    def test_learned_weights_start_from_equal_ones(self):
        heads, states = self.streams()
        equal, learned = (FUSIONS["late"](heads, weights=weights) for weights in ("equal", "learned"))
        assert torch.allclose(equal(states), learned(states), atol=1e-6)

    def test_streams_run_all_their_stages(self, make_config, modalities, task):
        config = make_config({"s": "conv", "i": "conv", "v": "linear"}, fusion="late", depth=3)
        network = build_network(config, list(modalities.values()), task)
        assert network.branch.route.n_stages == {"s": 3, "i": 3, "v": 0}
        assert network.branch.head.macs() == 0

    def test_one_stage_of_a_stream_may_be_on_a_route(self, make_config, make_batch, modalities, task):
        plain = make_config({"s": "conv", "i": "conv"}, fusion="late", depth=3).to_plain()
        router = {"routes": ["i", "s:1+i", "s+i"], "reads": "cheap_route"}
        config = NetworkConfig.parse({**plain, "router": router})
        network = build_network(config, list(modalities.values()), task).eval()
        batch = make_batch(["s", "i"], n_samples=3)
        outputs = network.all_routes(batch.inputs, batch.masks).outputs
        assert outputs.shape == (3, 3, 4)
        for number in range(3):
            chosen = torch.full((3,), number)
            assert torch.allclose(network(batch.inputs, batch.masks, chosen), outputs[:, number], atol=1e-5)
