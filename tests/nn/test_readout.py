"""Readouts: plain formulas of their statistics, masks and sizes, and where token-level fusions do not read them."""

import pytest
import torch

from nasfuse.domain.readout import READOUTS as NAMES
from nasfuse.errors import ConfigError
from nasfuse.nn.build import build_network
from nasfuse.nn.readout import READOUTS, Readout
from nasfuse.nn.tokens import Tokens
from nasfuse.testing.encoder import assert_samples_are_independent

VALUES = torch.tensor([[[1.0, -2.0], [3.0, 4.0], [5.0, -9.0]]])


def test_recipes_and_networks_name_the_same_readouts():
    assert set(NAMES) == set(READOUTS)


def test_statistics_by_hand():
    values = VALUES.expand(2, -1, -1)
    tokens = Tokens(values, torch.tensor([[True, True, False], [False, False, False]]))
    share = torch.sigmoid(4 * values[0, :2]).mean(dim=0)
    expected = torch.cat([torch.tensor([2.0, 1.0, 3.0, 4.0, 1.0, 3.0]), share])
    vector = Readout(("mean", "max", "std", "share_above"))(tokens)
    assert torch.allclose(vector[0], expected, atol=1e-5)
    assert torch.allclose(vector[1], torch.tensor([0.0, 0.0, 0.0, 0.0, 1e-3, 1e-3, 0.0, 0.0]))


def test_a_token_of_size_two_counts_as_two_tokens():
    sized = Tokens(VALUES, sizes=torch.tensor([[2.0, 1.0, 1.0]]))
    twice = Tokens(torch.cat([VALUES[:, :1], VALUES], dim=1))
    readout = Readout(("std", "mean", "max", "share_above"))
    assert torch.allclose(readout(sized), readout(twice), atol=1e-6)


def test_std_of_equal_tokens_has_a_finite_gradient():
    values = torch.ones(2, 3, 4, requires_grad=True)
    Readout(("std",))(Tokens(values)).sum().backward()
    assert torch.isfinite(values.grad).all()


@pytest.mark.parametrize(("encoder", "readout"), [("conv", "std+max+share_above"), ("transformer", "cls+max+std")])
@pytest.mark.parametrize("fusion", ["concat", "sum", "gated", "low_rank", "equilibrium", "joint_tokens", "bottleneck"])
def test_vector_fusions_and_heads_read_all_of_it(make_config, make_batch, modalities, task, encoder, readout, fusion):
    config = make_config({"s": encoder, "v": "mlp"}, fusion=fusion, readout=readout)
    network = build_network(config, list(modalities.values()), task).eval()
    stream = network.streams["s"]
    assert stream.out_width == 3 * stream.width
    assert_samples_are_independent(stream, modalities["s"])
    batch = make_batch(["s", "v"])
    assert network(batch.inputs, batch.masks).shape == (3, 4)
    alone = build_network(make_config({"s": encoder}, readout=readout), list(modalities.values()), task)
    assert alone.branch.width == 3 * alone.streams["s"].width


def test_token_level_fusion_does_not_read_it(make_config, make_batch, modalities, task):
    batch, outputs = make_batch(["s", "v"]), []
    for readout in ("mean", "max+std"):
        config = make_config({"s": "transformer", "v": "mlp"}, fusion="joint_tokens", readout=readout)
        torch.manual_seed(0)
        network = build_network(config, list(modalities.values()), task).eval()
        outputs.append(network(batch.inputs, batch.masks))
    assert torch.equal(*outputs)


@pytest.mark.parametrize(
    ("encoder", "readout", "match"),
    [
        ("transformer", "mean+maxx", r"readout: 'maxx' is not known; did you mean 'max'"),
        ("transformer", "max+max", r"readout: max\+max names max twice; name each statistic once"),
        ("conv", "max+cls", r"readout: 'cls' is not known; "),
    ],
)
def test_what_cannot_be_read_is_refused(make_config, encoder, readout, match):
    with pytest.raises(ConfigError, match=match):
        make_config({"s": encoder}, readout=readout)
