"""The metric without the modality that is missed most: at every point, and of folds."""

from dataclasses import replace

import pytest
import torch

from nasfuse.domain.operating_point import OperatingPoint
from nasfuse.nn.build import build_network
from nasfuse.nn.knob import knobs_at, settings_of
from nasfuse.testing.suite import randomise
from nasfuse.train import FoldNetwork
from nasfuse.train.evaluation import predict_logits
from nasfuse.train.point_metric import metric_of_folds, metric_of_network
from nasfuse.train.robust_metric import with_robust_metric

CPU = torch.device("cpu")
POINT = OperatingPoint(metric=0.4, macs=1, params=1, latency_s=1.0, latency_iqr_s=0.1, peak_bytes=1)


def make(make_config, dataset, *, names="vsq", seed=0):
    encoders = dict.fromkeys(names, "transformer") | ({"v": "mlp"} if "v" in names else {})
    config = make_config(encoders, fusion="concat" if len(names) > 1 else None, reducer=("average", 0.5))
    torch.manual_seed(seed)
    network = build_network(config, dataset.modalities, dataset.task, drops=True).eval()
    randomise(network, 0.5)
    return network


def robust(points, network, dataset, *, metric):
    names = [modality.name for modality in dataset.modalities]
    with metric_of_network(network, dataset, metric=metric, device=CPU) as metric_at:
        return with_robust_metric(points, network, names, metric=metric, metric_at=metric_at)


def accuracy(network, split, settings):
    with knobs_at(network.knobs(), settings):
        return float((predict_logits(network, split, device=CPU).argmax(dim=1) == split.targets).double().mean())


def test_it_is_the_worst_at_the_setting_of_each_point(make_config, dataset):
    network = make(make_config, dataset)
    own = settings_of(network.knobs())
    cut = dict.fromkeys(own, 0.25)
    points = (POINT, replace(POINT, knobs=cut), replace(POINT, holds=False))
    found = robust(points, network, dataset, metric="accuracy")
    for point, settings in zip(found[:2], (own, cut), strict=True):
        without = [accuracy(network, dataset.val.without(name), settings) for name in "vsq"]
        assert point.robust_metric == pytest.approx(min(0.4, *without)), "the image is not read"
    assert found[2].robust_metric is None
    assert settings_of(network.knobs()) == own
    assert [replace(point, robust_metric=None) for point in found] == list(points)


def test_of_metrics_that_are_minimised_it_is_the_largest(make_config, dataset):
    network = make(make_config, dataset, names="vs")
    (low,) = robust([replace(POINT, metric=0.0)], network, dataset, metric="log_loss")
    (high,) = robust([replace(POINT, metric=99.0)], network, dataset, metric="log_loss")
    assert 0 < low.robust_metric < 99
    assert high.robust_metric == 99.0


def test_of_routed_networks(make_recipe, dataset):
    recipe = make_recipe(encoders={"v": "mlp", "s": "mlp"}, router={"kind": "sequential", "routes": ["v", "v+s"]})
    network = build_network(recipe.network, dataset.modalities, dataset.task, drops=True).eval()
    randomise(network, 0.5)
    points = [replace(POINT, metric=1.0, knobs={"threshold": value, "route": "v"}) for value in (0.0, 1.0)]
    found = robust(points, network, dataset, metric="accuracy")
    for point in found:
        expected = [accuracy(network, dataset.val.without(name), point.settings) for name in "vs"]
        assert point.robust_metric == pytest.approx(min(expected))


def test_of_folds_it_is_that_of_all_their_samples(make_config, make_dataset):
    parts = [make_dataset(seed=seed, n_samples=60) for seed in (0, 1, 2, 3)]
    networks = [make(make_config, parts[0], names="vs", seed=seed) for seed in range(4)]
    folds = [FoldNetwork(network, part) for network, part in zip(networks, parts, strict=True)]
    metric_at = metric_of_folds(folds, n_folds=2, metric="accuracy", device=CPU)
    (found,) = with_robust_metric(
        [replace(POINT, metric=1.0)], networks[0], "vsq", metric="accuracy", metric_at=metric_at
    )
    without = []
    for name in "vs":
        each = [accuracy(fold.network, fold.dataset.val.without(name), {}) for fold in folds]
        without.append(sum(each) / 4)  # the folds have as many samples
    assert found.robust_metric == pytest.approx(min(without))
