"""Fusion operators: every entry of the registry, so that a new one is tested with no new code."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.func import functional_call
from torch.nn import functional as F

from nasfuse.cost import count_operators
from nasfuse.nn import build_network
from nasfuse.nn.fusion import FUSIONS
from nasfuse.nn.reducers import REDUCERS
from nasfuse.nn.tokens import Extent, Tokens
from nasfuse.spec.network import NetworkConfig
from nasfuse.spec.stream import LEARNED, TokenReducerConfig

WIDTHS = {"a": 4, "b": 3, "values": 4}
N_TOKENS = {"a": 3, "b": 1, "values": 2}


def make_fusion(kind, *, width=4, n_joint=1, widths=WIDTHS):
    """The operator with the default options of its configuration class."""
    streams = {name: {"encoder": "mlp"} for name in widths}
    plain = {"route": list(widths), "streams": streams, "fusion": {"kind": kind, "width": width}}
    if kind == "equilibrium":  # a fixed number of steps; solvers are tested in tests/nn/equilibrium
        plain["fusion"] |= {"gradient": "unroll", "max_steps": 3}
    options = NetworkConfig.parse(plain).fusion.model_dump(exclude={"kind", "placement"})
    return FUSIONS[kind](widths, n_joint=n_joint, **options)


def make_states(*, masked=False, dtype=torch.float32, n_samples=2):
    states = {}
    for name, width in WIDTHS.items():
        mask = None
        if masked and name == "a":
            mask = torch.tensor([[True, True, False], [True, False, False]])[:n_samples]
        states[name] = Tokens(torch.randn(n_samples, N_TOKENS[name], width, dtype=dtype), mask)
    return states


@pytest.mark.parametrize("kind", FUSIONS)
@pytest.mark.parametrize("n_joint", [0, 1, 3])
def test_one_vector_per_sample_comes_out(kind, n_joint):
    fusion = make_fusion(kind, n_joint=n_joint)
    assert fusion(make_states()).shape == (2, fusion.out_width)


@pytest.mark.parametrize("kind", FUSIONS)
@pytest.mark.parametrize("masked", [False, True])
def test_gradients_are_right(kind, masked):
    fusion = make_fusion(kind).double()
    states = make_states(masked=masked, dtype=torch.float64)
    # Fresh weights have zeros (CLS) and tiny numbers; random ones of size 1/2 test every path.
    named = {name: 0.5 * torch.randn_like(p) for name, p in fusion.named_parameters()}

    def fuse(*tensors):
        values = tensors[: len(states)]
        parameters = dict(zip(named, tensors[len(states) :], strict=True))
        tokens = {name: states[name].with_values(x) for name, x in zip(states, values, strict=True)}
        return functional_call(fusion, parameters, (tokens,))

    values = [state.values.requires_grad_() for state in states.values()]
    weights = [tensor.requires_grad_() for tensor in named.values()]
    assert torch.autograd.gradcheck(fuse, [*values, *weights], fast_mode=True)
    assert torch.autograd.gradcheck(fuse, [*values, *(tensor.detach() for tensor in weights)])


@pytest.mark.parametrize("kind", FUSIONS)
def test_every_stream_and_every_weight_matters(kind):
    fusion = make_fusion(kind, width=16)
    states = {name: state.with_values(state.values.requires_grad_()) for name, state in make_states().items()}
    (fusion(states) * torch.randn(2, fusion.out_width)).sum().backward()
    for name, state in states.items():
        assert state.values.grad.abs().sum() > 0, name
    assert all(parameter.grad is not None for parameter in fusion.parameters())


@pytest.mark.parametrize("kind", FUSIONS)
def test_what_stands_in_the_padding_does_not_matter(kind):
    fusion = make_fusion(kind).eval()
    states = make_states(masked=True)
    masked = states["a"].mask
    garbage = torch.where(masked[..., None], states["a"].values, 1000 * torch.randn(2, 3, 4))
    changed = {**states, "a": states["a"].with_values(garbage)}
    assert torch.allclose(fusion(states), fusion(changed), atol=1e-5)


@pytest.mark.parametrize("kind", FUSIONS)
def test_samples_do_not_see_each_other(kind):
    fusion = make_fusion(kind).eval()
    states = make_states(masked=True)
    together = fusion(states)
    for row in range(2):
        alone = {
            name: Tokens(state.values[row : row + 1], None if state.mask is None else state.mask[row : row + 1])
            for name, state in states.items()
        }
        assert torch.allclose(fusion(alone)[0], together[row], atol=1e-5)


@pytest.mark.parametrize("kind", FUSIONS)
def test_the_closed_form_is_a_whole_number_that_grows_with_tokens_or_not_at_all(kind):
    fusion = make_fusion(kind)
    few = fusion.macs({name: Extent(n) for name, n in N_TOKENS.items()})
    many = fusion.macs({name: Extent(n + 5) for name, n in N_TOKENS.items()})
    assert isinstance(few, int)
    assert 0 <= few <= many


@pytest.mark.parametrize("kind", FUSIONS)
def test_any_names_can_be_fused(kind):
    names = ["values", "type", "float", "items", "training", "state_dict", "a-b", "_x", "stream", "x_stream"]
    fusion = make_fusion(kind, widths={name: 3 + position % 2 for position, name in enumerate(names)})
    states = {name: Tokens(torch.randn(2, 2, 3 + position % 2)) for position, name in enumerate(names)}
    assert fusion(states).shape == (2, fusion.out_width)
    assert set(fusion.state_dict()) == {name for name, _ in fusion.named_parameters()}


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
def test_nor_does_one_of_reduced_tokens(make_config, make_batch, modalities, task, kind, reducer, data):
    longest = {"s": modalities["s"].shape[0], "q": modalities["q"].shape[0]}
    lengths = {name: data.draw(st.lists(st.integers(0, n), min_size=3, max_size=3)) for name, n in longest.items()}
    ratio, window = data.draw(st.sampled_from([0.05, 0.3, 0.6])), data.draw(st.sampled_from([None, 2, 5]))
    readout, placement = data.draw(st.sampled_from(["mean", "cls"])), data.draw(st.integers(0, 2))
    streams = dict.fromkeys(("s", "i", "q"), "transformer")
    config = make_config(
        streams, fusion=kind, placement=placement, reducer=(reducer, ratio), window=window, readout=readout, depth=3
    )
    if kind == "joint_tokens" and reducer not in LEARNED:
        fusion = config.fusion.model_copy(update={"reducer": TokenReducerConfig(kind=reducer, keep_ratio=ratio)})
        config = config.model_copy(update={"fusion": fusion})
    network = build_network(config, list(modalities.values()), task).eval()
    assert_alone_as_together(network, make_batch(["s", "i", "q"], lengths=lengths), lengths)


@pytest.mark.parametrize("kind", FUSIONS)
@pytest.mark.parametrize("readout", ["mean", "cls"])
def test_modalities_of_padding_alone_count_for_nothing(make_config, make_batch, modalities, task, kind, readout):
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


LENGTHS = {"a": [4, 1, 0, 6], "b": [2, 5, 3, 6], "values": [4, 3, 0, 6]}


class TestEquilibriumOnTokens:
    def make(self, **options):
        streams = {name: {"encoder": "mlp"} for name in WIDTHS}
        fusion = {
            "kind": "equilibrium",
            "width": 16,
            "level": "tokens",
            "gradient": "unroll",
            "max_steps": 3,
            **options,
        }
        config = NetworkConfig.parse({"route": list(WIDTHS), "streams": streams, "fusion": fusion})
        return FUSIONS["equilibrium"](
            WIDTHS, n_joint=1, **config.fusion.model_dump(exclude={"kind", "placement"})
        ).eval()

    def states(self, lengths, padding=0):
        """Tokens of each stream, as many as `lengths` says; padding does not change their values."""
        generator = torch.Generator().manual_seed(0)
        states = {}
        for name, width in WIDTHS.items():
            values = torch.randn(len(lengths[name]), 9, width, generator=generator)
            mask = torch.arange(max(*lengths[name], 1) + padding) < torch.tensor(lengths[name])[:, None]
            states[name] = Tokens(values[:, : mask.shape[1]], mask)
        return states

    def test_padding_changes_nothing_nor_does_the_batch(self):
        fusion = self.make()
        together = fusion(self.states(LENGTHS))
        assert torch.allclose(fusion(self.states(LENGTHS, padding=3)), together, atol=1e-5)
        for row in range(4):
            states = self.states(LENGTHS)
            shown = {name: max(lengths[row], 1) for name, lengths in LENGTHS.items()}
            alone = {
                name: Tokens(one.values[row : row + 1, : shown[name]], one.mask[row : row + 1, : shown[name]])
                for name, one in states.items()
            }
            assert torch.allclose(fusion(alone)[0], together[row], atol=1e-5)

    def test_a_sample_without_any_token(self):
        lengths = {name: [0, 2] for name in WIDTHS}
        fused = self.make()(self.states(lengths))
        assert torch.isfinite(fused).all()
        assert torch.isfinite(self.make()(self.states({name: [0] for name in WIDTHS}))).all()

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

    def test_its_closed_form_is_what_is_counted(self):
        fusion = self.make()
        states = {name: Tokens(torch.randn(1, n, WIDTHS[name])) for name, n in {"a": 7, "b": 3, "values": 5}.items()}
        values = tuple(one.values for one in states.values())

        class Flat(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.fusion = fusion

            def forward(self, *tensors):
                return self.fusion({name: Tokens(one) for name, one in zip(WIDTHS, tensors, strict=True)})

        extents = {name: Extent(one.values.shape[1]) for name, one in states.items()}
        assert sum(count_operators(Flat(), values).values()) == fusion.macs(extents)

    def test_merged_tokens_count_by_their_sizes(self):
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

    def test_cls_tokens_are_one_token_more(self):
        fusion = self.make()
        states = {name: Tokens(torch.randn(2, 3, w), cls=torch.randn(2, w)) for name, w in WIDTHS.items()}
        states["b"] = Tokens(states["b"].values)  # is read at its mean
        with_cls = {
            name: Tokens(torch.cat([one.summary()[:, None], one.values], dim=1)) for name, one in states.items()
        }
        assert torch.allclose(fusion(states), fusion(with_cls), atol=1e-6)

    def test_the_closed_form_with_cls_is_what_is_counted(self):
        fusion = self.make()
        values = tuple(torch.randn(1, n, width) for n, width in zip((8, 4, 6), WIDTHS.values(), strict=True))

        class Flat(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.fusion = fusion

            def forward(self, *tensors):
                pairs = zip(WIDTHS, tensors, strict=True)
                return self.fusion({name: Tokens(one[:, 1:], cls=one[:, 0]) for name, one in pairs})

        extents = {name: Extent(one.shape[1] - 1, n_cls=1) for name, one in zip(WIDTHS, values, strict=True)}
        assert sum(count_operators(Flat(), values).values()) == fusion.macs(extents)


@pytest.mark.parametrize("kind", [*FUSIONS, "equilibrium on tokens"])
def test_every_fusion_reads_cls_tokens_and_sizes(kind):
    on_tokens = kind == "equilibrium on tokens"
    fusion = TestEquilibriumOnTokens().make() if on_tokens else make_fusion(kind, width=8).eval()
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    plain = {name: Tokens(torch.randn(2, 3, width)) for name, width in WIDTHS.items()}
    sizes = torch.tensor([[5.0, 1.0, 1.0], [1.0, 1.0, 2.0]])
    read = {name: one.each(torch.clone) for name, one in plain.items()}
    read["a"] = Tokens(plain["a"].values, sizes=sizes)
    assert (fusion(read) - fusion(plain)).abs().amax(dim=1).min() > 1e-5
    equal = {name: Tokens(one.values, sizes=torch.full((2, 3), 2.0)) for name, one in plain.items()}
    if kind not in ("bottleneck", "joint_tokens"):  # there other tokens, of size 1, stand among those of size 2
        assert torch.allclose(fusion(equal), fusion(plain), atol=1e-5)
    cls = torch.randn(2, WIDTHS["a"], requires_grad=True)
    fusion({**plain, "a": Tokens(plain["a"].values, cls=cls)}).square().sum().backward()
    assert (cls.grad.abs().amax(dim=1) > 1e-6).all()
