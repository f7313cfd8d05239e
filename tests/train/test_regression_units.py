"""Regression: the unit and the origin of the target change nothing that is learnt, chosen or reported."""

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_absolute_error

from nasfuse.data import ModalityArrays, build_dataset
from nasfuse.spec.recipe import Recipe
from nasfuse.train import evaluate, train_network
from nasfuse.train.tabulate import tabulate_routes

X = np.random.default_rng(0).normal(size=(160, 4))
Y = X[:, 0] - 2 * X[:, 1] * X[:, 2] + 0.3 * np.random.default_rng(1).normal(size=160)
UNITS = {"time stamps": (60.0, 1.7e9), "nano": (1e-9, 0.0), "huge": (1e19, 0.0), "hundreds": (100.0, 1000.0)}
STATIC = {"route": ["v"], "streams": {"v": {"encoder": "mlp", "width": 8}}}
ROUTED = {
    "route": ["v", "w"],
    "streams": {name: {"encoder": "mlp", "width": 8} for name in ("v", "w")},
    "fusion": {"kind": "sum", "width": 8},
    "router": {"routes": ["v", "v+w"]},
}


def trained(targets, network):
    """(r2, mae) on test, the training and its data."""
    modalities = {"v": ModalityArrays("vector", X[:, :2]), "w": ModalityArrays("vector", X[:, 2:])}
    dataset = build_dataset("d", modalities, targets=targets, task="regression")
    recipe = Recipe.parse(
        {
            "metric": "r2",
            "data": {"source": "d", "task": "regression"},
            "network": network,
            "training": {"epochs": 8, "lr": 0.01, "batch_size": 32},
        }
    )
    done = train_network(recipe, dataset, seed=0, device=torch.device("cpu"))
    metrics = [
        evaluate(done.network, dataset.test, metric=metric, task=dataset.task, device=torch.device("cpu"))[0]
        for metric in ("r2", "mae")
    ]
    return metrics, done, dataset


@pytest.fixture(scope="module", params=[STATIC, ROUTED], ids=["static", "routed"])
def plain(request):
    return request.param, trained(Y, request.param)


@pytest.mark.parametrize("unit", UNITS)
def test_a_training_is_the_same_in_every_unit(plain, unit):
    network, ((r2, mae), done, _) = plain
    a, b = UNITS[unit]
    (own_r2, own_mae), own, _ = trained(a * Y + b, network)
    assert own_r2 == pytest.approx(r2, abs=1e-3)
    assert own_mae == pytest.approx(a * mae, rel=1e-3)
    for one, other in zip(done.curve, own.curve, strict=True):
        assert other.val_loss == pytest.approx(one.val_loss, rel=1e-3)
        assert other.val_metric == pytest.approx(one.val_metric, abs=1e-3)


def test_the_error_is_in_the_unit_of_the_data(plain):
    """Against scikit-learn, on predictions taken back to the unit of the data."""
    network, _ = plain
    (_, mae), done, dataset = trained(100 * Y + 1000, network)
    scale, everything = dataset.target_scale, torch.arange(len(dataset.test))
    batch = dataset.test.batch(everything, names=done.network.stream_names)
    with torch.inference_mode():
        outputs = done.network(batch.inputs, batch.masks).double() * scale.std + scale.mean
    truth = dataset.test.targets.double() * scale.std + scale.mean
    assert mae == pytest.approx(mean_absolute_error(truth, outputs))


def test_a_table_of_routes_reports_in_the_unit_of_the_data():
    (_, mae), done, dataset = trained(1e6 * Y, ROUTED)
    table = tabulate_routes(done.network, dataset.test, dataset, metric="mae", device=torch.device("cpu"))
    assert table.at(float(done.network.threshold)).metric == pytest.approx(mae)
    assert float(table.errors().max()) < 1e3, "which route is better is decided on standardised numbers"
