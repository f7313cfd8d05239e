"""Linear streams: what they read, and that they are the outputs of the network where nothing follows them."""

import pytest
import torch
from torch.nn import functional as F

from nasfuse.cost import count_network
from nasfuse.nn import build_network
from nasfuse.nn.linear_stream import linear_stream, statistics_of
from nasfuse.testing import EncoderSuite
from nasfuse.testing.inputs import MODALITIES

LENGTHS = {"s": [3, 11, 0], "q": [9, 2, 5]}


class TestSuiteOfStatistics(EncoderSuite):
    @pytest.fixture(params=["v", "s", "q", "i"])
    def modality(self, request):
        return MODALITIES[request.param]

    @pytest.fixture
    def make_encoder(self):
        return lambda modality, *, depth: linear_stream(modality, width=6, statistics=True, dropout=0.0)


def test_statistics_are_those_of_the_real_steps():
    steps = torch.randn(4, 7, 3)
    lengths = [7, 1, 4, 0]
    mask = torch.arange(7) < torch.tensor(lengths)[:, None]
    found = statistics_of(steps, mask)
    for row, length in enumerate(lengths):
        real = steps[row, :length]
        if length == 0:
            assert (found[row] == 0).all()
            continue
        expected = [real.mean(dim=0), real.std(dim=0, correction=0), real.amin(dim=0), real.amax(dim=0)]
        assert torch.allclose(found[row], torch.cat(expected), atol=1e-6)
    assert torch.allclose(statistics_of(steps, torch.ones(4, 7).bool()), statistics_of(steps, None), atol=1e-6)


@pytest.mark.parametrize("fusion", [None, "late"])
def test_a_linear_network_is_one_matrix_per_stream(make_config, make_batch, modalities, task, fusion):
    streams = {"v": "linear"} if fusion is None else {"v": "linear", "i": "linear"}
    network = build_network(make_config(streams, fusion=fusion), list(modalities.values()), task).eval()
    batch = make_batch(list(streams))
    maps = {name: network.streams[name].stem.project for name in streams}
    expected = torch.stack(
        [F.linear(batch.inputs[name].flatten(1), one.weight, one.bias) for name, one in maps.items()]
    ).mean(dim=0)
    assert torch.allclose(network(batch.inputs, batch.masks), expected, atol=1e-5)
    assert sum(p.numel() for p in network.parameters()) == sum(one.weight.numel() + 4 for one in maps.values())
    macs = sum(one.weight.numel() for one in maps.values())
    assert network.macs({}) == count_network(network, batch) == macs


def test_other_fusions_get_as_many_features_as_they_are_wide(make_config, modalities, task):
    network = build_network(
        make_config({"v": "linear", "i": "conv"}, fusion="concat", width=12), list(modalities.values()), task
    )
    assert network.streams["v"].width == 12


def test_dropout_hits_the_values_that_the_map_reads():
    stream = linear_stream(MODALITIES["v"], width=2, statistics=False, dropout=0.5)
    ones = torch.ones(1, *MODALITIES["v"].shape)
    stream.stem.project.weight.data.fill_(1.0)
    stream.stem.project.bias.data.zero_()
    sums = {stream(ones, None, n_stages=0).values[0, 0, 0].item() for _ in range(20)}
    assert sums <= {2.0 * kept for kept in range(ones.numel() + 1)}, "values are kept and doubled, or lost"
    assert len(sums) > 1


def test_routes_of_linear_streams_are_averaged_over_what_runs(make_config, make_batch, modalities, task):
    plain = make_config({"v": "linear", "s": "linear"}, fusion="late").to_plain()
    config = type(make_config({"v": "linear"})).parse({**plain, "router": {"routes": ["v", "v+s"], "reads": "inputs"}})
    network = build_network(config, list(modalities.values()), task).eval()
    batch = make_batch(["v", "s"], lengths={"s": LENGTHS["s"]})
    outputs = network.all_routes(batch.inputs, batch.masks).outputs
    own = {
        name: network.streams[name](batch.inputs[name], batch.masks.get(name), n_stages=0).summary()
        for name in ("v", "s")
    }
    assert torch.allclose(outputs[:, 0], own["v"], atol=1e-6)
    assert torch.allclose(outputs[:, 1], (own["v"] + own["s"]) / 2, atol=1e-6)
    for number in (0, 1):
        chosen = torch.full((len(outputs),), number)
        assert torch.allclose(network(batch.inputs, batch.masks, chosen), outputs[:, number], atol=1e-6)
