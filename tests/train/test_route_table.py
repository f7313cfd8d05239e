"""Tables of routes: one dense pass, then thresholds that behave as theorems say."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nasfuse.cost import count_network, expected_macs
from nasfuse.domain.modality import Task
from nasfuse.nn import RoutedNetwork, build_network
from nasfuse.nn.routing.calibration import CalibrationStatus
from nasfuse.spec.network import NetworkConfig
from nasfuse.train import evaluate, inference, predict_logits, tabulate_routes
from nasfuse.train.route_table import Routed

CPU = torch.device("cpu")
ENCODERS = {"v": "mlp", "s": "conv", "i": "conv"}
ROUTES = ["v", "v+s:1", "v+s", "v+s+i"]
READS = [("cheap_route", "mlp"), ("cheapest_stream", "linear"), ("inputs", "conv")]


def network_of(make_recipe, dataset, *, reads="cheap_route", form="mlp", routes=ROUTES, **more):
    router = {"routes": routes, "reads": reads, "form": form, "width": 4, **more}
    recipe = make_recipe(encoders=ENCODERS, fusion="gated", placement=2, router=router)
    network = build_network(recipe.network, dataset.modalities, dataset.task)
    assert isinstance(network, RoutedNetwork)
    return network


def table_of(network, dataset, *, metric="accuracy"):
    return tabulate_routes(network, dataset.val, dataset, metric=metric, device=CPU)


def mean_macs(table, threshold):
    """The naive twin of what `at` reports: each sample's own cost on its route, router included."""
    routes = table.chosen(threshold).tolist()
    return sum(float(table.macs[row, route]) for row, route in enumerate(routes)) / len(routes)


@pytest.fixture(scope="module")
def network(make_recipe, dataset):
    torch.manual_seed(3)
    return network_of(make_recipe, dataset)


@pytest.fixture
def table(network, dataset):
    return table_of(network, dataset)


@pytest.fixture(scope="module")
def crossed(make_config, dataset):
    """Of a network whose routes are not nested: alone s costs less than v, after a router on v:5 it costs more."""
    plain = make_config({"v": "mlp", "s": "mlp"}, fusion="concat", placement=2).to_plain()
    plain["streams"]["v"].update(depth=6, width=32)
    plain["streams"]["s"].update(depth=1, width=68)
    plain["router"] = {"routes": ["v:5", "s", "v"], "width": 4}
    return table_of(build_network(NetworkConfig.parse(plain), dataset.modalities, dataset.task), dataset)


def with_gate(table, *, seed):
    generator = torch.Generator().manual_seed(seed)
    return replace(table, gate=3 * torch.randn(table.gate.shape, generator=generator))


class TestOfANetwork:
    @pytest.mark.parametrize(("reads", "form"), READS)
    @pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.8, 1.0])
    def test_a_lookup_is_what_the_network_does(self, make_recipe, dataset, reads, form, threshold):
        network = network_of(make_recipe, dataset, reads=reads, form=form, threshold=threshold)
        table = table_of(network, dataset)
        chosen = table.chosen(threshold)
        logits = predict_logits(network, dataset.val, device=CPU)
        assert torch.allclose(table.digests[torch.arange(len(chosen)), chosen], logits, atol=1e-5)
        metric, _ = evaluate(network, dataset.val, metric="accuracy", task=dataset.task, device=CPU)
        assert table.at(threshold).metric == metric

    @pytest.mark.parametrize(("reads", "form"), READS)
    def test_costs_are_counted_sample_by_sample(self, make_recipe, dataset, reads, form):
        network = network_of(make_recipe, dataset, reads=reads, form=form).eval()
        table = table_of(network, dataset)

        counts = {}  # one count for each combination of lengths

        def counted(split, row):
            batch = split.batch(torch.tensor([row]), names=network.stream_names)
            lengths = tuple(mask.sum().item() for mask in batch.masks.values())
            if lengths not in counts:
                counts[lengths] = [count_network(network, batch, route=number) for number in range(len(ROUTES))]
            return counts[lengths]

        val = torch.tensor([counted(dataset.val, row) for row in range(len(dataset.val))]).double()
        train = torch.tensor([counted(dataset.train, row) for row in range(len(dataset.train))]).double()
        shift = torch.cat([train, val]).mean(dim=0) - val.mean(dim=0)
        assert shift[-1].abs() > 1, "val has other lengths than train"
        assert torch.allclose(table.macs, val + shift, rtol=1e-12)
        usage = torch.bincount(table.chosen(0.5), minlength=len(ROUTES)).double() / len(table.targets)
        assert table.at(0.5).usage == tuple(usage.tolist())
        assert table.at(0.5).macs == pytest.approx(mean_macs(table, 0.5))

    def test_a_route_for_all_costs_what_the_static_network_costs(self, network, dataset):
        """On every split and division, although their sequences are not equally long."""
        for number in range(len(ROUTES)):
            expected = expected_macs(network, dataset, route=number)
            for split in (dataset.train, dataset.val, dataset.test):
                table = tabulate_routes(network, split, dataset, metric="accuracy", device=CPU)
                assert float(table.static_macs[:, number].mean()) == pytest.approx(expected, abs=0.5)
        ends = table_of(network, dataset).even_curve(3)
        wanted = [expected_macs(network, dataset), expected_macs(network, dataset, route=-1)]
        assert [ends[0].macs, ends[-1].macs] == pytest.approx(wanted, abs=0.5)

    @pytest.mark.parametrize("threshold", [0.1, 0.35, 0.5, 0.9])
    def test_the_calibration_of_the_network_is_used(self, make_recipe, dataset, threshold):
        network = network_of(make_recipe, dataset, reads="inputs", form="conv", threshold=threshold)
        network.calibrate(table_of(network, dataset).calibrated().calibration)
        table = table_of(network, dataset)
        assert table.calibration.status is not CalibrationStatus.IDENTITY
        chosen = table.chosen(threshold)
        assert len(chosen.unique()) > 1 or threshold == 0.9
        logits = predict_logits(network, dataset.val, device=CPU)
        assert torch.allclose(table.digests[torch.arange(len(chosen)), chosen], logits, atol=1e-5)

    def test_of_routes_of_equal_cost_the_last_is_the_costliest(self, equal_routes):
        recipe, dataset = equal_routes
        network = build_network(recipe.network, dataset.modalities, dataset.task)
        table = table_of(network, dataset)
        statics, routed = network.static_macs({}), network.route_macs({})
        assert statics[0] == statics[1]
        assert (routed[0] == routed[1]) is (recipe.network.router.reads == "inputs")
        for threshold, route in ((0.0, 1), (1.0, 0)):
            network.set_threshold(threshold)
            metric, _ = evaluate(network, dataset.val, metric="accuracy", task=dataset.task, device=CPU)
            assert table.at(threshold).metric == metric
            assert table.chosen(threshold).unique().tolist() == [route]

    def test_batches_make_no_difference(self, network, table, dataset, monkeypatch):
        monkeypatch.setattr(inference, "_ROWS", 7)
        again = table_of(network, dataset)
        assert torch.allclose(again.digests, table.digests, atol=1e-5)
        assert torch.allclose(again.gate, table.gate, atol=1e-5)
        assert torch.equal(again.macs, table.macs)

    def test_fifty_points_cost_one_dense_pass(self, network, dataset, monkeypatch):
        passes, rows = [], []
        dense = network.all_routes

        def counted(inputs, masks, *, present):
            passes.append(len(next(iter(inputs.values()))))
            return dense(inputs, masks, present=present)

        monkeypatch.setattr(network, "all_routes", counted)
        hooks = [
            network.register_forward_hook(lambda *_: pytest.fail("a sparse pass")),
            *[
                network.streams[name].stem.register_forward_hook(lambda _m, _i, result: rows.append(len(result.values)))
                for name in network.stream_names
            ],
        ]
        points = table_of(network, dataset).even_curve(50)
        for hook in hooks:
            hook.remove()
        assert len(points) == 50
        assert passes == [len(dataset.val)]
        assert rows == [len(dataset.val)] * len(ENCODERS), "every stem once for every sample"

    def test_tabulating_changes_nothing(self, network, dataset):
        network.train()
        before = torch.get_rng_state()
        first, second = table_of(network, dataset), table_of(network, dataset)
        assert torch.equal(torch.get_rng_state(), before)
        assert torch.equal(first.digests, second.digests), "no dropout"
        assert not first.digests.requires_grad


class TestThresholds:
    @settings(max_examples=40)
    @given(
        seed=st.integers(0, 10**6), n_samples=st.integers(1, 25), n_routes=st.integers(2, 5), share=st.floats(0, 1.2)
    )
    def test_a_budget_is_never_exceeded_where_it_can_be_met(self, make_table, seed, n_samples, n_routes, share):
        table = make_table(seed=seed, n_samples=n_samples, n_routes=n_routes)
        cheap, full = table.at(1.0).macs, table.at(0.0).macs
        budget = cheap + share * (full - cheap)
        spent = table.at(table.threshold_for(budget)).macs
        assert spent <= budget
        if budget < full:
            others = [mean_macs(table, threshold) for threshold in torch.linspace(0.001, 0.999, 49).tolist()]
            assert all(other <= spent or other > budget for other in others), "and nothing is left over"

    @settings(max_examples=40)
    @given(
        seed=st.integers(0, 10**6),
        n_routes=st.integers(2, 5),
        thresholds=st.lists(st.floats(1e-9, 1 - 1e-9), min_size=2, max_size=8),
    )
    def test_cost_never_rises_with_the_threshold(self, make_table, seed, n_routes, thresholds):
        table = make_table(seed=seed, n_routes=n_routes)
        macs = [table.at(threshold).macs for threshold in sorted(thresholds)]
        assert all(later <= earlier for earlier, later in itertools.pairwise(macs))
        # At the ends no router runs, whose own cost is 7.
        assert macs[0] <= table.at(0.0).macs + 7 + 1e-9
        assert macs[-1] >= table.at(1.0).macs + 7 - 1e-9

    @settings(max_examples=30)
    @given(seed=st.integers(0, 10**6))
    def test_cost_never_rises_where_routes_are_not_nested(self, crossed, seed):
        table = with_gate(crossed, seed=seed)
        macs = [table.at(threshold).macs for threshold in torch.linspace(0.01, 0.99, 50).tolist()]
        assert macs == sorted(macs, reverse=True)

    @settings(max_examples=30)
    @given(seed=st.integers(0, 10**6))
    def test_a_budget_is_kept_where_routes_are_not_nested(self, crossed, seed):
        table = with_gate(crossed, seed=seed)
        cheap, full = table.at(1.0).macs, table.at(0.0).macs
        for share in (0.2, 0.4, 0.6, 0.8, 0.95):
            budget = cheap + share * (full - cheap)
            assert table.at(table.threshold_for(budget)).macs <= budget

    @settings(max_examples=15)
    @given(seed=st.integers(0, 10**6), n_points=st.integers(2, 30))
    def test_a_sweep_goes_from_the_cheapest_route_to_the_costliest(self, make_table, seed, n_points):
        table = make_table(seed=seed)
        points = table.even_curve(n_points)
        assert len(points) == n_points
        n_samples = len(table.targets)
        for point, number in ((points[0], 0), (points[-1], 2)):
            assert point.metric == table.metric_of(torch.full((n_samples,), number))
            assert point.macs == float(table.static_macs[:, number].double().mean())
            assert point.usage == tuple(float(route == number) for route in range(3))
        budgets = torch.linspace(points[0].macs, points[-1].macs, n_points, dtype=torch.float64).tolist()
        assert all(point.macs <= budget + 1e-9 for point, budget in zip(points, budgets, strict=True))
        assert [point.macs for point in points] == sorted(point.macs for point in points)

    @settings(max_examples=15)
    @given(seed=st.integers(0, 10**6), n_samples=st.integers(1, 20))
    def test_between_two_routes_every_split_can_be_had(self, make_table, seed, n_samples):
        table = make_table(seed=seed, n_samples=n_samples, macs=[100, 1100])
        order = (table.gate[:, 1] - table.gate[:, 0]).argsort(descending=True)
        for n_up in range(1, n_samples):
            budget = 107 + 1000 * n_up / n_samples + 1e-6
            chosen = table.chosen(table.threshold_for(budget))
            assert set(chosen.nonzero().flatten().tolist()) == set(order[:n_up].tolist()), "the surest first"

    def test_a_threshold_stands_half_way_between_two_samples(self, make_table):
        gate = torch.tensor([[0.0, logit] for logit in (-2.0, 1.0, 3.0)])
        table = make_table(n_samples=3, macs=[10, 20], router_macs=0, gate=gate)
        threshold = table.threshold_for(14)
        assert math.log(threshold / (1 - threshold)) == pytest.approx(2.0)
        assert table.at(threshold).usage == pytest.approx((2 / 3, 1 / 3))

    def test_budgets_outside_the_range_of_costs(self, make_table):
        table = make_table(macs=[100, 200, 400])
        assert table.threshold_for(50) == 1.0, "nothing is cheap enough, so the cheapest"
        assert table.threshold_for(104) == 1.0, "the router alone would cost more"
        assert table.threshold_for(400) == 0.0
        assert table.threshold_for(1e9) == 0.0

    def test_the_ends_of_a_trained_curve_are_static_networks(self, network, table, dataset):
        points = table.even_curve(9)
        for point, number in ((points[0], 0), (points[-1], len(ROUTES) - 1)):
            logits = []
            with torch.inference_mode():
                for row in range(len(dataset.val)):
                    batch = dataset.val.batch(torch.tensor([row]), names=network.stream_names)
                    logits.append(network.branches[number](network.states(batch.inputs, batch.masks, batch.present)))
            right = torch.cat(logits).argmax(dim=1) == dataset.val.targets
            assert point.metric == pytest.approx(float(right.double().mean()))


class TestErrors:
    def test_of_classes(self, make_table):
        outputs = torch.tensor([[[2.0, 1.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 3.0]]])
        table = make_table(
            n_samples=2, macs=[1, 2], outputs=outputs, targets=torch.tensor([1, 1]), task=Task("multiclass", 2)
        )
        assert table.errors().tolist() == [[1.0, 0.0], [0.0, 0.0]]
        assert table.best_routes().tolist() == [1, 0], "the cheapest of those that are right"

    def test_of_labels(self, make_table):
        outputs = torch.tensor([[[2.0, -1.0, 1.0], [2.0, 1.0, -1.0], [2.0, 1.0, 1.0]]])
        table = make_table(
            n_samples=1,
            macs=[1, 2, 3],
            outputs=outputs,
            targets=torch.tensor([[1.0, 1.0, 0.0]]),
            metric="micro_f1",
            task=Task("multilabel", 3),
        )
        assert torch.allclose(table.errors(), torch.tensor([[2 / 3, 0, 1 / 3]], dtype=torch.float64))
        assert table.best_routes().tolist() == [1]

    def test_of_numbers(self, make_table):
        outputs = torch.tensor([[[1.0, 5.0], [2.0, 2.0]]])
        table = make_table(
            n_samples=1,
            macs=[1, 2],
            outputs=outputs,
            targets=torch.tensor([[2.0, 4.0]]),
            metric="mae",
            task=Task("regression", 2),
        )
        assert table.errors().tolist() == [[1.0, 1.0]]
        assert table.best_routes().tolist() == [0]

    @pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (1e6, -4e6), (1e-6, 3.0)])
    def test_of_numbers_no_unit_counts(self, make_table, scale, offset):
        """Where the best constant errs by 1: a route is better if its error is less by more than 0.05."""
        targets = torch.tensor([0.0, 2.0, 0.0, 2.0], dtype=torch.float64)[:, None]
        errors = torch.tensor([[0.30, 0.28], [0.30, 0.20], [0.00, 0.50], [0.10, 0.06]], dtype=torch.float64)
        table = make_table(
            n_samples=4,
            macs=[1, 2],
            outputs=offset + scale * (targets + errors)[:, :, None],
            targets=offset + scale * targets,
            metric="mae",
            task=Task("regression", 1),
        )
        assert torch.allclose(table.errors(), errors, atol=1e-6)
        assert table.best_routes().tolist() == [0, 1, 0, 0]

    def test_where_every_route_is_wrong_the_cheapest_is_best(self, make_table):
        outputs = torch.zeros(4, 3, 2)
        outputs[:, :, 0] = 1
        table = make_table(n_samples=4, outputs=outputs, targets=torch.ones(4).long(), task=Task("multiclass", 2))
        assert table.best_routes().tolist() == [0] * 4


class TestRecord:
    def test_by_hand(self, make_table):
        gate = torch.tensor([[math.log(3), 0.0], [0.0, math.log(3)], [0.0, math.log(3)], [math.log(3), 0.0]])
        table = make_table(n_samples=4, macs=[10, 20], gate=gate, outputs=torch.zeros(4, 2, 4))
        one = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
        assert table.record(table.at(0.5)) == {
            "usage": {"a": 0.5, "b": 0.5},
            "entropy": round(math.log(2), 4),
            "effective_routes": 2.0,
            "decisiveness": round(one, 4),
            "information": round(math.log(2) - one, 4),
            "static_as": None,
            "threshold": 0.5,
            "calibrated": {"a": 0.5, "b": 0.5},
            "best": {"a": 1.0, "b": 0.0},
            "calibration": "not calibrated",
        }

    def test_a_router_that_sends_all_one_way_is_static(self, make_table):
        table = make_table(macs=[10, 20, 30])
        for threshold, name in ((1.0, "a"), (0.0, "c")):
            record = table.record(table.at(threshold))
            assert record["static_as"] == name
            assert (record["entropy"], record["effective_routes"]) == (0.0, 1.0)
            assert math.copysign(1, record["entropy"]) == 1, "not -0.0"

    def test_a_router_that_ignores_its_input_is_static(self, make_table):
        gate = torch.tensor([[0.0, 0.01]]).repeat(10, 1)
        gate[:4] *= -1
        table = make_table(n_samples=10, macs=[10, 20], gate=gate)
        assert table.at(0.5).usage == (0.4, 0.6)
        record = table.record(table.at(0.5))
        assert record["information"] < 0.01
        assert record["static_as"] == "b"

    @settings(max_examples=30)
    @given(seed=st.integers(0, 10**6), threshold=st.floats(0, 1))
    def test_bounds(self, make_table, seed, threshold):
        table = make_table(seed=seed)
        routed = table.at(threshold)
        assert sum(routed.usage) == pytest.approx(1)
        record = table.record(routed)
        assert 0 <= record["entropy"] <= round(math.log(3), 4)
        assert 1 <= record["effective_routes"] <= 3
        assert -1e-9 <= record["information"] <= math.log(3)
        assert 0 <= record["decisiveness"] <= round(math.log(3), 4)


def test_one_sample_is_enough(make_table):
    table = make_table(n_samples=1, macs=[10, 20])
    assert isinstance(table.at(0.5), Routed)
    assert len(table.even_curve(5)) == 5
