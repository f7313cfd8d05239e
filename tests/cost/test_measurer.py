"""Measurers of costs: an entry of the registry is all that a cost needs."""

import dataclasses

import pytest
import torch

from nasfuse.cost import activation_bytes, count_parameters, measure_cost, measure_costs
from nasfuse.domain.cost import COSTS
from nasfuse.nn import build_network
from nasfuse.train import measure, train_network


def n_layers(network, batch):
    """A cost of a user."""
    return len([module for module in network.modules() if isinstance(module, torch.nn.Linear)])


@pytest.fixture
def network(make_recipe, dataset):
    return build_network(make_recipe().network, dataset.modalities, dataset.task)


def test_shipped_costs(network, dataset):
    batch = dataset.val.batch(torch.arange(3), names=network.stream_names)
    expected = {"params": count_parameters(network), "peak_bytes": activation_bytes(network, batch)}
    assert measure_costs(network, batch) == expected
    with pytest.raises(AssertionError, match="latency_s is measured at every operating point"):
        measure_cost("latency_s", network, batch)


def test_a_further_cost_is_in_every_operating_point(make_recipe, dataset, monkeypatch):
    entry = dataclasses.replace(COSTS["params"], name="layers", measurer=f"{__name__}:n_layers")
    monkeypatch.setitem(COSTS, "layers", entry)
    trained = train_network(make_recipe(epochs=1), dataset, seed=0, device=torch.device("cpu"))
    points, _ = measure(trained, dataset, metric="accuracy", device=torch.device("cpu"))
    assert {point.cost("layers") for point in points} == {n_layers(trained.network, None)}
