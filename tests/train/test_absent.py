"""Training with modality dropout, and on data in which samples lack modalities."""

import numpy as np
import pytest
import torch

from nasfuse.data import ModalityArrays, build_dataset
from nasfuse.train import evaluate, fixed_features, train_network

CPU = torch.device("cpu")


def make_data(*, lack=None, n_samples=400, noise=0.8):
    """Two modalities, each of which tells the class; samples `lack` (n,) the sequence.

    The sequence tells it more clearly, so that a network learns to rely on it.
    """
    rng = np.random.default_rng(0)
    classes = np.arange(n_samples) % 2
    signal = (2.0 * classes - 1)[:, None]
    vector = rng.normal(size=(n_samples, 4)) * noise + signal * 0.75
    sequence = rng.normal(size=(n_samples, 5, 2)) * 0.2 + signal[..., None] * 2
    if lack is not None:
        sequence[lack] = np.nan
    arrays = {"v": ModalityArrays("vector", vector), "s": ModalityArrays("sequence", sequence)}
    return build_dataset("two", arrays, targets=classes, task="multiclass")


def accuracy(network, split, dataset):
    return evaluate(network, split, metric="accuracy", task=dataset.task, device=CPU)[0]


def test_with_dropout_either_modality_is_enough_and_without_it_is_not(make_recipe):
    dataset = make_data()
    found = {}
    for dropout in (0.0, 0.4):
        recipe = make_recipe(encoders={"v": "mlp", "s": "mlp"}, epochs=10, dropout=0.0, modality_dropout=dropout)
        network = train_network(recipe, dataset, seed=1, device=CPU).network
        assert network.placeholders == (frozenset("vs") if dropout else frozenset())
        splits = (dataset.test, dataset.test.without("s"), dataset.test.without("v"))
        found[dropout] = [accuracy(network, split, dataset) for split in splits]
    assert found[0.4][0] == found[0.0][0] == 1.0
    assert found[0.4][1] > 0.85
    assert found[0.4][2] > 0.95
    assert found[0.0][1] < 0.8


def test_placeholders_are_learnt_from_samples_that_lack_the_modality(make_recipe):
    dataset = make_data(lack=np.arange(400) % 3 == 0)
    recipe = make_recipe(encoders={"v": "mlp", "s": "transformer"}, epochs=4, dropout=0.0)
    network = train_network(recipe, dataset, seed=1, device=CPU).network
    assert network.placeholders == {"s"}
    assert network.streams["s"].placeholder.shift.abs().max() > 1e-3
    assert accuracy(network, dataset.test, dataset) > 0.85
    assert accuracy(network, dataset.test.without("s"), dataset) > 0.8


def test_fixed_features_are_those_of_absent_inputs_where_they_are_computed_once(make_recipe, monkeypatch):
    dataset = make_data(lack=np.arange(400) % 3 == 0)
    recipe = make_recipe(encoders={"v": "mlp", "s": "random_conv"}, epochs=2)
    first = train_network(recipe, dataset, seed=0, device=CPU)
    monkeypatch.setattr(fixed_features, "_MOST_BYTES", 0)
    second = train_network(recipe, dataset, seed=0, device=CPU)
    for one, other in zip(first.curve, second.curve, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=1e-4)


def test_fixed_features_are_fitted_on_samples_that_have_the_modality(make_recipe, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "nasfuse.nn.random_convolution.RandomConvStem.fit", lambda self, inputs, mask: seen.append(inputs)
    )
    dataset = make_data(lack=np.arange(400) % 3 == 0)
    recipe = make_recipe(encoders={"v": "mlp", "s": "random_conv"}, epochs=1)
    train_network(recipe, dataset, seed=0, device=CPU)
    (inputs,) = seen
    assert len(inputs) == int(dataset.train.columns["s"].present.sum())
    assert inputs.flatten(1).abs().amax(dim=1).min() > 0


def test_features_are_mixed_after_the_placeholder(make_recipe):
    dataset = make_data(lack=np.arange(400) % 3 == 0)
    recipe = make_recipe(encoders={"v": "mlp", "s": "mlp"}, epochs=2, mixup=0.4, mixup_at="manifold")
    network = train_network(recipe, dataset, seed=0, device=CPU).network
    assert network.streams["s"].placeholder.shift.abs().min() > 0
