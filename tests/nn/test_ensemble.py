"""Ensembles: the mean of what their members predict, at the cost of all of them."""

import copy

import pytest
import torch

from nasfuse.cost import count_network
from nasfuse.domain.modality import Task
from nasfuse.nn import build_network

CONFIGS = [({"v": "mlp", "s": "conv"}, "concat"), ({"s": "linear"}, None), ({"i": "conv", "v": "linear"}, "late")]


@pytest.fixture(
    params=[Task("multiclass", 4), Task("multilabel", 4), Task("regression", 4)], ids=lambda task: task.kind
)
def task(request):
    return request.param


@pytest.fixture
def network(make_config, modalities, task):
    configs = tuple(make_config(encoders, fusion=fusion, dropout=0.5) for encoders, fusion in CONFIGS)
    return build_network(configs, list(modalities.values()), task).eval()


def test_it_reads_what_any_member_reads(network):
    assert network.stream_names == ("v", "s", "i")
    assert network.knobs() == ()


def test_predictions_are_means_of_those_of_the_members(network, make_batch, task):
    batch = make_batch(["v", "s", "i"])
    outputs = torch.stack([member(batch.inputs, batch.masks) for member in network.members])
    probabilities = {
        "multiclass": lambda x: x.softmax(dim=-1),
        "multilabel": torch.sigmoid,
        "regression": lambda x: x,
    }[task.kind]
    found = network(batch.inputs, batch.masks)
    assert torch.allclose(probabilities(found), probabilities(outputs).mean(dim=0), atol=1e-6)


def test_its_cost_is_that_of_all_members_and_as_counted(network, make_batch):
    lengths = {"s": make_batch(["s"]).inputs["s"].shape[1]}
    (macs,) = network.static_macs(lengths)
    assert macs == sum(member.static_macs(lengths)[0] for member in network.members)
    assert macs == count_network(network, make_batch(["v", "s", "i"]))


def test_members_share_nothing(network):
    twin = copy.deepcopy(network)
    twin.load_state_dict(network.state_dict())
    n_members = [sum(p.numel() for p in member.parameters()) for member in network.members]
    assert sum(p.numel() for p in network.parameters()) == sum(n_members)
