"""Measuring and evaluating a trained network."""

import json
import math

import pytest
import torch

from nasfuse.config.measurement import Measurements
from nasfuse.cost import count_parameters, expected_macs
from nasfuse.nn import build_network
from nasfuse.train import evaluate, measure, predict_logits, train_network

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained(make_recipe, dataset):
    return train_network(make_recipe(epochs=1), dataset, seed=0, device=CPU)


def test_one_operating_point_with_every_cost(trained, dataset):
    before = torch.get_rng_state()
    (point,), routing = measure(trained, dataset, metric="accuracy", device=CPU)
    assert torch.equal(torch.get_rng_state(), before)
    assert point.metric == trained.chosen.val_metric
    assert point.macs == expected_macs(trained.network, dataset)
    assert point.params == count_parameters(trained.network)
    assert point.peak_bytes > 0
    assert 0 < point.latency_s < 10
    assert point.latency_iqr_s >= 0
    assert point.knobs == {}
    assert routing == {}


def test_measurements_survive_json(trained, dataset):
    measured = Measurements(measure(trained, dataset, metric="accuracy", device=CPU)[0], {"seed": 0})
    assert Measurements.from_plain(json.loads(json.dumps(measured.to_plain()))) == measured


def test_the_reported_metric_is_that_of_the_network_returned(trained, dataset):
    metric, loss = evaluate(trained.network, dataset.val, metric="accuracy", task=dataset.task, device=CPU)
    assert (metric, loss) == (trained.chosen.val_metric, trained.chosen.val_loss)


def test_logits_come_in_the_order_of_the_split(trained, dataset, monkeypatch):
    together = predict_logits(trained.network, dataset.train, device=CPU)
    assert together.shape == (len(dataset.train), 4)
    monkeypatch.setitem(predict_logits.__globals__, "_ROWS", 7)
    assert torch.allclose(predict_logits(trained.network, dataset.train, device=CPU), together, atol=1e-5)


def test_a_network_that_predicts_nan_has_no_metric(make_config, dataset):
    network = build_network(make_config({"v": "mlp"}), dataset.modalities, dataset.task)
    with torch.no_grad():
        network.branch.head.out.bias[0] = math.nan
    metric, loss = evaluate(network, dataset.val, metric="accuracy", task=dataset.task, device=CPU)
    assert math.isnan(metric)
    assert math.isnan(loss)
