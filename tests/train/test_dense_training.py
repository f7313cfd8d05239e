"""Trainings of networks for label maps, from the first step to the operating points."""

import pytest
import torch

from nasfuse.experiment.plain_models import constant_score
from nasfuse.nn.ensemble import EnsembleNetwork
from nasfuse.spec.recipe import Recipe
from nasfuse.tasks import task_kind
from nasfuse.train import evaluate, measure, predict_logits, tabulate_routes, train_network
from nasfuse.train.evaluation import predict_digests
from tests.train.dense import ROUTES, dense_dataset, network_config

CPU = torch.device("cpu")
KIND = task_kind("segmentation")
# Everything in training that draws random numbers.
RANDOM = {"mixup": 0.2, "input_noise": 0.1, "shift": 0.2, "flip": 0.5, "scale": 1.3, "modality_dropout": 0.2}


@pytest.fixture(scope="module")
def dataset():
    return dense_dataset(40)


def recipe_of(*, kind=None, **training):
    return Recipe.parse(
        {
            "metric": "miou",
            "data": {"source": "x.npz", "task": "segmentation", "aligned": ["a", "b"]},
            "network": network_config(kind=kind),
            "training": {"epochs": 3, "batch_size": 4, "lr": 0.01, **training},
        }
    )


def train(recipe, dataset, *, seed=0, **options):
    return train_network(recipe, dataset, seed=seed, device=CPU, **options)


class Interruption(Exception):
    """Stands for a kill."""


def test_a_network_learns_label_maps(dataset):
    trained = train(recipe_of(epochs=8, flip=0.5, class_weights="median_frequency"), dataset)
    assert trained.curve[-1].val_loss < 0.5 * trained.curve[0].val_loss
    assert trained.chosen.val_metric > constant_score([dataset], "miou") + 0.5
    (point,), record = measure(trained, dataset, metric="miou", device=CPU)
    assert (point.metric, record) == (trained.chosen.val_metric, {})
    assert point.macs == trained.network.static_macs({})[0]
    without, _ = evaluate(trained.network, dataset.val.without("b"), metric="miou", task=dataset.task, device=CPU)
    assert without < point.metric - 0.2, "classes differ in b"
    logits = predict_logits(trained.network, dataset.val, device=CPU)
    loss = KIND.loss(logits, dataset.val.targets).item()
    assert trained.chosen.val_loss == pytest.approx(loss, rel=1e-5)


def test_interrupted_and_resumed_equals_unbroken(dataset, tmp_path, monkeypatch, assert_same, differ):
    monkeypatch.setattr("nasfuse.train.progress._LONGEST_INTERVAL_S", 0.0)
    recipe = recipe_of(**RANDOM)
    unbroken = train(recipe, dataset)

    def interrupt(epoch):
        if epoch.epoch == 2:
            raise Interruption

    with pytest.raises(Interruption, match=r"^$"):
        train(recipe, dataset, report=interrupt, resume_file=tmp_path / "p.pt")
    assert_same(unbroken, train(recipe, dataset, resume_file=tmp_path / "p.pt"))
    assert differ(unbroken, train(recipe, dataset, seed=1))


@pytest.mark.parametrize("kind", ["gate", "sequential"])
def test_routes_are_trained_chosen_and_measured(dataset, kind):
    training = {"routing": {"routes_per_step": "one"}} if kind == "gate" else {}
    trained = train(recipe_of(kind=kind, epochs=6, **training), dataset)
    network, val = trained.network, dataset.val
    table = tabulate_routes(network, val, dataset, metric="miou", device=CPU)
    assert network.route_names == ROUTES
    for threshold in (0.0, 0.3, 0.7, 1.0):
        network.set_threshold(threshold)
        metric, _ = evaluate(network, val, metric="miou", task=dataset.task, device=CPU)
        assert metric == pytest.approx(table.at(threshold).metric)
    network.set_threshold(0.5)
    points, record = measure(trained, dataset, metric="miou", device=CPU)
    assert len(points) == 11, "the network's own, the nine of the curve, and the route in the middle for all samples"
    assert [point.setting for point in points].count(f"always {ROUTES[1]}") == 1
    assert points[1].macs == network.static_macs({})[0]
    assert set(record["routing"]["usage"]) == set(ROUTES)


def test_a_focal_loss_is_that_of_validation_too(dataset):
    trained = train(recipe_of(loss="focal", focal_gamma=1.0, epochs=1), dataset)
    logits = predict_logits(trained.network, dataset.val, device=CPU)
    known = dataset.val.targets != 255
    p = logits.softmax(dim=1).gather(1, dataset.val.targets.long().clamp_max(3)[:, None])[:, 0][known]
    assert trained.chosen.val_loss == pytest.approx((-(1 - p) * p.log()).mean().item(), rel=1e-4)


def test_an_ensemble_averages_the_probabilities_of_pixels(dataset):
    members = [train(recipe_of(epochs=1), dataset, seed=seed).network for seed in (0, 1)]
    ensemble = EnsembleNetwork(members, task="segmentation")
    maps = torch.stack([predict_logits(member, dataset.val, device=CPU).softmax(dim=1) for member in members])
    expected = KIND.digest(maps.mean(dim=0).log(), dataset.val.targets)
    found = predict_digests(ensemble, dataset.val, task="segmentation", device=CPU)
    assert torch.allclose(found, expected, atol=1e-3)
