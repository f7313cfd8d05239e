"""Measuring and evaluating a trained network."""

import json
import math

import pytest
import torch

from nasfuse.cost import Latency, count_parameters, expected_macs
from nasfuse.domain.operating_point import Measurements
from nasfuse.nn import build_network
from nasfuse.nn.knob import knobs_at
from nasfuse.train import evaluate, inference, measure, predict_logits, tabulate_routes, train_network
from nasfuse.train.router_baselines import random_mix, static_routes
from nasfuse.train.sweep import N_CURVE

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained(make_recipe, dataset):
    return train_network(make_recipe(epochs=1), dataset, seed=0, device=CPU)


def test_one_operating_point_with_every_cost(trained, dataset):
    before = torch.get_rng_state()
    (point,), record = measure(trained, dataset, metric="accuracy", device=CPU)
    assert torch.equal(torch.get_rng_state(), before)
    assert point.metric == trained.chosen.val_metric
    assert point.macs == expected_macs(trained.network, dataset)
    assert point.params == count_parameters(trained.network)
    assert point.peak_bytes > 0
    assert 0 < point.latency_s < 10
    assert point.latency_iqr_s >= 0
    assert point.knobs == {}
    assert record == {}


def test_measurements_survive_json(trained, dataset):
    measured = Measurements(measure(trained, dataset, metric="accuracy", device=CPU)[0], {"seed": 0})
    assert Measurements.from_plain(json.loads(json.dumps(measured.to_plain()))) == measured


def test_the_reported_metric_is_that_of_the_network_returned(trained, dataset):
    metric, loss = evaluate(trained.network, dataset.val, metric="accuracy", task=dataset.task, device=CPU)
    assert (metric, loss) == (trained.chosen.val_metric, trained.chosen.val_loss)


def test_logits_come_in_the_order_of_the_split(trained, dataset, monkeypatch):
    together = predict_logits(trained.network, dataset.train, device=CPU)
    assert together.shape == (len(dataset.train), 4)
    monkeypatch.setattr(inference, "_ROWS", 7)
    assert torch.allclose(predict_logits(trained.network, dataset.train, device=CPU), together, atol=1e-5)


def test_a_network_that_predicts_nan_has_no_metric(make_config, dataset):
    network = build_network(make_config({"v": "mlp"}), dataset.modalities, dataset.task)
    with torch.no_grad():
        network.branch.head.out.bias[0] = math.nan
    metric, loss = evaluate(network, dataset.val, metric="accuracy", task=dataset.task, device=CPU)
    assert math.isnan(metric)
    assert math.isnan(loss)


ROUTES = ("v", "v+s:1", "v+s")


@pytest.fixture(scope="module")
def routed(make_recipe, dataset):
    router = {"routes": list(ROUTES), "width": 4, "threshold": 0.4}
    return train_network(make_recipe(placement=2, router=router), dataset, seed=0, device=CPU)


@pytest.fixture(scope="module")
def measured(routed, dataset):
    return measure(routed, dataset, metric="accuracy", device=CPU)


class TestRouted:
    def test_the_first_point_is_the_network_as_its_recipe_sets_it(self, routed, measured, dataset):
        point, *_ = measured[0]
        value, _ = evaluate(routed.network, dataset.val, metric="accuracy", task=dataset.task, device=CPU)
        assert point.metric == routed.chosen.val_metric == value
        assert point.knobs["threshold"] == 0.4
        assert float(routed.network.threshold) == 0.4, "measuring leaves it as it was"

    def test_the_others_are_its_curve(self, routed, measured, dataset):
        points = measured[0][1 : 1 + N_CURVE]
        table = tabulate_routes(routed.network, dataset.val, dataset, metric="accuracy", device=CPU)
        for point in points:
            routed.network.set_threshold(point.knobs["threshold"])
            value, _ = evaluate(routed.network, dataset.val, metric="accuracy", task=dataset.task, device=CPU)
            assert point.metric == value
            assert point.macs == math.ceil(table.at(point.knobs["threshold"]).macs - 1e-6)
        routed.network.set_threshold(0.4)
        assert [point.macs for point in points] == sorted(point.macs for point in points)
        assert (points[0].setting, points[-1].setting) == ("always v", "always v+s")
        assert [points[0].macs, points[-1].macs] == [math.ceil(macs - 1e-6) for macs, _ in static_routes(table)][::2]

    def test_after_them_each_route_between_stands_for_all_samples(self, routed, measured, dataset):
        (point,) = measured[0][1 + N_CURVE :]
        assert (point.settings, point.setting) == ({"always": 1.0}, "always v+s:1")
        table = tabulate_routes(routed.network, dataset.val, dataset, metric="accuracy", device=CPU)
        assert (point.macs, point.metric) == pytest.approx(static_routes(table)[1])
        with knobs_at(routed.network.knobs(), point.settings):
            value, _ = evaluate(routed.network, dataset.val, metric="accuracy", task=dataset.task, device=CPU)
        assert value == point.metric

    def test_of_a_recipe_with_one_route_for_all(self, make_recipe, dataset, routed, measured):
        router = {"routes": list(ROUTES), "width": 4, "threshold": 0.4, "always": "v+s:1"}
        trained = train_network(make_recipe(placement=2, router=router), dataset, seed=0, device=CPU)
        found, record = measure(trained, dataset, metric="accuracy", device=CPU)
        # Training and calibration do not depend on it, and all points are still there.
        for mine, other in zip(found[1:], measured[0][1:], strict=True):
            assert (mine.metric, mine.macs) == (other.metric, other.macs)
            assert mine.settings == {"always": -1.0, **other.settings}
            assert mine.setting == other.setting
        assert (found[0].metric, found[0].macs) == (found[-1].metric, found[-1].macs)
        assert found[0].setting == "always v+s:1"
        assert trained.chosen.val_metric == found[0].metric
        assert record["routing"]["static_as"] == "v+s:1"
        assert trained.network.always == 1

    def test_a_point_is_called_static_exactly_where_it_is(self, routed, measured, dataset):
        table = tabulate_routes(routed.network, dataset.val, dataset, metric="accuracy", device=CPU)
        for point in measured[0][: 1 + N_CURVE]:
            usage = table.at(point.knobs["threshold"]).usage
            assert ("route" in point.knobs) is (max(usage) >= 0.99)
            if "route" in point.knobs:
                assert point.knobs["route"] == ROUTES[usage.index(max(usage))]

    def test_latency_is_that_of_the_routes_as_often_as_they_are_taken(self, routed, dataset, monkeypatch):
        told = []

        def measure_latency(network, one, *, chosen=None):
            assert len(one.targets) == 1
            route = None if chosen is None else int(chosen)
            told.append((route, network.always))
            return Latency(10.0 ** (len(told) - 1), 1.0, 1.0)

        monkeypatch.setitem(measure.__globals__, "measure_latency", measure_latency)
        points, _ = measure(routed, dataset, metric="accuracy", device=CPU)
        # The whole network, then each route with its router and as a static network.
        assert told == [
            (None, None),
            *((route, always) for one in range(3) for route, always in ((one, None), (None, one))),
        ]
        table = tabulate_routes(routed.network, dataset.val, dataset, metric="accuracy", device=CPU)
        for point in points:
            threshold = point.knobs.get("threshold")
            usage = (0, 0, 0) if threshold is None else table.at(threshold).usage
            between = sum(share * median for share, median in zip(usage, (10, 1e3, 1e5), strict=True))
            assert point.latency_s == pytest.approx({1.0: 1e2, None: 1e4, 0.0: 1e6}.get(threshold, between))
            assert point.latency_iqr_s == pytest.approx(1.0)

    def test_the_record_says_what_the_router_does_and_what_chance_would_do(self, routed, measured, dataset):
        points, record = measured
        table = tabulate_routes(routed.network, dataset.val, dataset, metric="accuracy", device=CPU)
        mixed, _ = random_mix(table, table.at(0.4).macs, seed=0)
        assert record == {
            "routing": {
                **table.record(table.at(0.4)),
                "random_mix": mixed,
                "route_macs": routed.network.full_route_macs(),
            }
        }
        assert list(record["routing"]["usage"]) == list(ROUTES)
        assert {point.params for point in points} == {count_parameters(routed.network)}

    def test_of_routes_of_equal_cost(self, equal_routes):
        recipe, dataset = equal_routes
        trained = train_network(recipe, dataset, seed=0, device=CPU)
        points, _ = measure(trained, dataset, metric="accuracy", device=CPU)
        ends = points[1], points[N_CURVE]
        assert [one.setting for one in ends] == ["always left", "always right"]
        assert ends[0].macs == ends[1].macs

    def test_it_survives_json(self, measured):
        points, record = measured
        told = Measurements(points, record)
        assert Measurements.from_plain(json.loads(json.dumps(told.to_plain()))) == told


def test_features_computed_outside_are_counted_apart(routed, measured, dataset):
    """The sequence costs a million MACs outside. The router reads all inputs: only a static point does not need it."""
    points, _ = measure(routed, dataset, metric="accuracy", device=CPU, outside={"s": 10**6})
    for point, plain in zip(points, measured[0], strict=True):
        assert (point.macs, point.metric, plain.outside_macs) == (plain.macs, plain.metric, 0)
        assert point.total_macs == point.macs + point.outside_macs
    assert [points[1].outside_macs, points[-1].outside_macs] == [0, 10**6]
