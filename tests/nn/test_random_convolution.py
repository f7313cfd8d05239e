"""Random convolutions: a naive computation, quantiles as biases, what is drawn, and what is refused."""

import copy
import math

import pytest
import torch
from torch.func import functional_call

from nasfuse.cost import count_network
from nasfuse.domain.modality import Modality
from nasfuse.errors import InvalidInputError
from nasfuse.nn.build import build_network
from nasfuse.nn.fixed_stem import fixed_stems
from nasfuse.nn.random_convolution import RandomConvolutions, random_conv_stream
from nasfuse.spec.network import NetworkConfig
from nasfuse.testing.encoder import assert_samples_are_independent
from nasfuse.testing.inputs import IDS, IMAGE, SEQUENCE, length_mask, random_inputs

LONG = Modality("s", "sequence", (50, 12))


def make(modality=LONG, **options):
    return RandomConvolutions(modality, **{"n_kernels": 7, "n_dilations": 3, "stride": 2, "n_biases": 2, **options})


def naive_convolution(values, kernel, channels, dilation, position):
    """Of a sequence (T, C), step by step."""
    total = 0.0
    for tap in range(9):
        step = position + (tap - 4) * dilation
        if 0 <= step < len(values):
            total += float(kernel[tap]) * float(values[step, channels].sum())
    return total


def test_features_are_those_of_a_naive_computation():
    module, inputs, lengths = make(), random_inputs(LONG, 2), [50, 23]
    mask = length_mask(LONG, lengths)
    module.fit(random_inputs(LONG, 40), None)
    features = module(inputs, mask)[:, : module.n_shares].unflatten(1, module.biases.shape)
    for sample, length in enumerate(lengths):
        for index, dilation in enumerate(module.dilations):
            for kernel in range(7):
                channels = [c for c in module.channels[index, kernel].tolist() if c < 12]
                outputs = [
                    naive_convolution(inputs[sample, :length], module.kernels[index, kernel, 0], channels, dilation, at)
                    for at in range(0, length, 2)
                ]
                for bias in range(2):
                    share = sum(output > float(module.biases[index, kernel, bias]) for output in outputs) / len(outputs)
                    number = (index * 7 + kernel) * 2 + bias
                    expected = (share - float(module.mean[number])) / float(module.std[number])
                    assert math.isclose(float(features[sample, index, kernel, bias]), expected, abs_tol=1e-4)


@pytest.mark.parametrize("n_channels", [1, 3])
def test_kernels_on_the_same_channels_share_their_sum(n_channels):
    """Also after weights are loaded, and in a call with the buffers of another network."""
    modality = Modality("i", "image", (n_channels, 9, 8))
    inputs = random_inputs(modality, 60)  # of 72 positions each
    one, other, alone = (make(modality, n_kernels=84) for _ in range(3))
    alone._sums = None  # each kernel sums its channels by itself
    assert one._sums is not None and all(places is not None for places in one._sums.places)
    for source in (one, other):
        alone.load_state_dict(source.state_dict())
        alone._sums = None
        expected = alone(inputs, None)
        assert torch.allclose(source(inputs, None), expected, atol=1e-5)
        assert torch.allclose(functional_call(one, source.state_dict(), (inputs, None)), expected, atol=1e-5)
    one.load_state_dict(other.state_dict())
    assert torch.equal(one(inputs, None), other(inputs, None))
    assert torch.equal(copy.deepcopy(one)(inputs, None), other(inputs, None))


@pytest.mark.parametrize(
    ("shape", "n", "shares"),
    [((3, 64, 64), 24, True), ((3, 64, 64), 1, True), ((3, 8, 8), 8, False), ((1, 8, 8), 1, True)],
)
def test_sums_are_shared_where_there_is_more_to_compute_than_to_call(shape, n, shares):
    """Images of 3 x 64 x 64 are computed 24 at a time."""
    modality = Modality("i", "image", shape)
    module = make(modality, n_kernels=84)
    assert (module._sums_for(random_inputs(modality, n), 0) is not None) is shares


@pytest.mark.parametrize("modality", [LONG, IMAGE], ids=str)
def test_statistics_of_the_channels_follow_the_shares(modality):
    module, inputs = make(modality), random_inputs(modality, 3)
    channels = inputs.flatten(2).transpose(1, 2) if modality.kind == "image" else inputs
    statistics = [channels.mean(dim=1), channels.std(dim=1, correction=0), channels.amax(dim=1), channels.amin(dim=1)]
    found = module(inputs, None)[:, module.n_shares :]
    assert torch.allclose(found, torch.cat(statistics, dim=1), atol=1e-5)


def test_kernels_are_those_of_minirocket():
    kernels = make(n_kernels=84).kernels.flatten(2)
    assert kernels.shape == (3, 84, 9)
    assert set(kernels.flatten().tolist()) == {-1.0, 2.0}
    assert torch.equal((kernels == 2).sum(dim=2), torch.full((3, 84), 3))
    assert len({tuple(kernel) for kernel in kernels[0].tolist()}) == 84


def test_channels_are_distinct_and_small_subsets_are_likelier():
    channels = make(n_kernels=84).channels.flatten(0, 1)
    sizes = [sum(channel < 12 for channel in row) for row in channels.tolist()]
    assert all(len({c for c in row if c < 12}) == size for row, size in zip(channels.tolist(), sizes, strict=True))
    assert min(sizes) == 1
    assert max(sizes) == 9, "of at most nine channels"
    assert sizes.count(1) > sizes.count(9)


@pytest.mark.parametrize(
    ("modality", "dilations"), [(LONG, [1, 2, 6]), (SEQUENCE, [1]), (IMAGE, [1, 2]), (IDS, [1])], ids=str
)
def test_dilations_fit_the_input(modality, dilations):
    assert make(modality).dilations == dilations


def test_biases_are_between_values_that_repeat():
    """Otherwise rounding, which is another in an exported program, would decide whether they are above."""
    words = Modality("text", "sequence", (14,), 13)
    module, even = make(words, n_biases=6), Modality("i", "image", (3, 8, 8))
    inputs = torch.randint(13, (60, 14)) * (torch.arange(14) < 5)  # mostly one id
    flat = make(even, n_biases=6)
    for one, given in ((module, inputs), (flat, (2 * torch.rand(60, 3, 8, 8)).round().mul(0.1))):
        one.fit(given, None)
        exact, found = one.double(), one(given, None)
        for index, biases in enumerate(one.biases):
            values = exact._convolve(exact._channels_first(given, None), index).flatten(2).transpose(0, 1).flatten(1)
            gaps = (values[:, None] - biases[..., None]).abs().amin(dim=2)
            assert (gaps > 2e-6 * values.abs().amax(dim=1, keepdim=True)).all()
        assert found.isfinite().all()


def test_biases_are_quantiles_and_features_are_standardised():
    module, inputs = make(n_biases=3), random_inputs(LONG, 200)
    module.fit(inputs, None)
    shares = module(inputs, None) * module.std + module.mean
    below = 1 - shares.mean(dim=0)[: module.n_shares]
    golden = (1 + math.sqrt(5)) / 2
    levels = torch.tensor([number * golden % 1 for number in range(1, module.n_shares + 1)])
    assert torch.allclose(below, levels, atol=0.01)
    assert torch.allclose(levels.sort().values, torch.linspace(0, 1, module.n_shares), atol=0.05), "all levels"
    features = module(inputs, None)
    assert torch.allclose(features.mean(dim=0), torch.zeros(module.n_features), atol=1e-4)
    assert torch.allclose(features.std(dim=0, correction=0), torch.ones(module.n_features), atol=1e-3)


@pytest.mark.parametrize("modality", [LONG, IDS], ids=str)
def test_fitting_ignores_padding(modality):
    inputs, mask = random_inputs(modality, 30), length_mask(modality, list(range(30)))
    module, other = make(modality), make(modality)
    other.load_state_dict(module.state_dict())
    module.fit(inputs, mask)
    other.fit(torch.where(mask.view(*mask.shape, *[1] * (inputs.dim() - 2)), inputs, 3), mask)
    for key, values in module.state_dict().items():
        assert torch.equal(values, other.state_dict()[key]), key


def test_fitting_on_empty_sequences_leaves_finite_features():
    module, inputs = make(), random_inputs(LONG, 4)
    mask = torch.zeros(4, 50).bool()
    module.fit(inputs, mask)
    assert torch.isfinite(module(inputs, mask)).all()


@pytest.mark.parametrize("modality", [SEQUENCE, IDS, IMAGE], ids=str)
def test_samples_are_independent_once_it_is_fitted(modality):
    stream = options(modality, depth=0)
    stream.stem.fit(random_inputs(modality, 50), None)
    assert_samples_are_independent(stream, modality)


def options(modality, **changes):
    defaults = {"depth": 1, "width": 8, "dropout": 0.0, "expansion": 2, "feature_dropout": 0.0}
    sizes = {"n_kernels": 84, "n_dilations": 5, "stride": 2, "n_biases": 3}
    return random_conv_stream(modality, **{**defaults, **sizes, **changes})


def test_macs_and_width_of_the_features_alone():
    stream = options(Modality("s", "sequence", (128, 6)), depth=0)
    assert stream.macs(128, n_stages=0)[0] == 84 * 5 * 64 * 9
    assert stream.out_width == 84 * 5 * 3 + 4 * 6
    assert list(stream.parameters()) == []


def test_kernels_are_no_parameters_and_are_saved(make_config, modalities, task):
    network = build_network(make_config({"s": "random_conv"}), list(modalities.values()), task)
    assert set(fixed_stems(network)) == {"s"}
    names = {name.rpartition(".")[2] for name in network.streams["s"].stem.convolutions.state_dict()}
    assert names == {"kernels", "channels", "biases", "mean", "std"}
    assert not list(network.streams["s"].stem.convolutions.parameters())


@pytest.mark.parametrize("form", ["linear", "mlp", "conv", "transformer"])
def test_a_router_reads_it_as_one_token(make_config, make_batch, modalities, task, form):
    plain = make_config({"i": "random_conv", "s": "conv"}, fusion="sum").to_plain()
    router = {"routes": ["i", "i+s"], "reads": "cheapest_stream", "form": form}
    config = NetworkConfig.parse({**plain, "router": router})
    network = build_network(config, list(modalities.values()), task).eval()
    batch = make_batch(["i", "s"])
    assert network(batch.inputs, batch.masks).shape == (3, 4)
    for route, macs in enumerate(network.route_macs({"s": 11})):
        assert count_network(network, make_batch(["i", "s"]), route=route) == macs


@pytest.mark.parametrize("modality", [SEQUENCE, IMAGE], ids=str)
def test_a_stride_longer_than_the_input_is_refused(modality):
    with pytest.raises(
        InvalidInputError,
        match=r"^stride 12 of stream . is longer than the shortest side of its input, \d+; make it smaller$",
    ):
        make(modality, stride=12)
