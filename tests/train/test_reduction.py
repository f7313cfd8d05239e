"""The ratio loss in training, as an example of an auxiliary loss."""

import math

import pytest
import torch

from nasfuse.cost import expected_macs
from nasfuse.nn import build_network
from nasfuse.nn.auxiliary_loss import take_losses
from nasfuse.nn.reducers import REDUCERS
from nasfuse.nn.reducers.selection import GumbelTopK
from nasfuse.spec.network import NetworkConfig
from nasfuse.spec.schema.fields import accepts
from nasfuse.train import measure, train_network

CPU = torch.device("cpu")


def built(recipe, dataset):
    return build_network(recipe.network, dataset.modalities, dataset.task).eval()


def test_the_ratio_loss_is_taken_once(make_sparse, dataset):
    network = built(make_sparse("gumbel", 0.25), dataset).train()
    assert take_losses(network) == {}
    batch = dataset.train.batch(torch.arange(8), names=network.stream_names)
    network(batch.inputs, batch.masks)
    reducers = [module for module in network.modules() if isinstance(module, GumbelTopK)]
    losses = [reducer.ratio_loss for reducer in reducers]
    assert len(losses) == 2
    assert torch.allclose(take_losses(network)["ratio"], torch.stack(losses).mean())
    assert take_losses(network) == {}, "what is taken is forgotten"
    network.eval()(batch.inputs, batch.masks)
    assert take_losses(network) == {}, "there is none after training"


def test_training_holds_the_chance_to_the_ratio(make_sparse, make_dataset):
    dataset = make_dataset(n_samples=160)

    def mean_chance(weight):
        recipe = make_sparse("gumbel", 0.1, epochs=10, lr=0.02, ratio_weight=weight)
        network = train_network(recipe, dataset, seed=0, device=CPU).network.train()
        batch = dataset.val.batch(torch.arange(len(dataset.val)), names=network.stream_names)
        network(batch.inputs, batch.masks)
        return float(take_losses(network)["ratio"].detach())

    assert mean_chance(20.0) < 0.3 * mean_chance(0.0)


@pytest.mark.parametrize("kind", REDUCERS)
def test_every_reducer_trains(make_sparse, dataset, kind):
    trained = train_network(make_sparse(kind, 0.3, epochs=2), dataset, seed=0, device=CPU)
    assert math.isfinite(trained.chosen.val_loss)
    points, _ = measure(trained, dataset, metric="accuracy", device=CPU)
    assert points[0].macs == expected_macs(trained.network, dataset)
    swept = [point.knobs for point in points[1:]]
    assert bool(swept) == accepts(NetworkConfig, "fusion.reducer.kind", kind)
    assert all(set(knobs) <= {"keep_ratio.s", "keep_ratio.i"} for knobs in swept)
    assert all(point.holds for point in points)
