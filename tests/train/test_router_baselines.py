"""What a router is compared with, against naive twins."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from nasfuse.cost import expected_macs
from nasfuse.domain.modality import Task
from nasfuse.nn import build_network
from nasfuse.train import evaluate, tabulate_routes
from nasfuse.train.router_baselines import clairvoyant, confidence_cascade, oracle, random_mix, static_routes

CPU = torch.device("cpu")


def right_on(make_table, right, macs, **more):
    """`right[k][i]`: whether route k is right about sample i."""
    right = torch.tensor(right).T
    outputs = F.one_hot(right.long(), 2).float()
    return make_table(
        n_samples=len(right),
        macs=macs,
        outputs=outputs,
        targets=torch.ones(len(right), dtype=torch.int64),
        task=Task("multiclass", 2),
        **more,
    )


def routed(make_recipe, dataset, *, metric="accuracy", routes=("v", "v+s")):
    recipe = make_recipe(metric=metric, placement=2, router={"routes": list(routes), "width": 4})
    network = build_network(recipe.network, dataset.modalities, dataset.task)
    return network, tabulate_routes(network, dataset.val, dataset, metric=metric, device=CPU)


class TestStaticRoutes:
    def test_by_hand(self, make_table):
        table = right_on(make_table, [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0]], [10, 20, 40])
        assert static_routes(table) == [(10, 0.25), (20, 0.5), (40, 0.75)]

    def test_they_are_the_network_at_its_ends(self, make_recipe, dataset):
        network, table = routed(make_recipe, dataset)
        found = static_routes(table)
        for (macs, metric), threshold in zip(found, (1.0, 0.0), strict=True):
            network.set_threshold(threshold)
            value, _ = evaluate(network, dataset.val, metric="accuracy", task=dataset.task, device=CPU)
            assert metric == value
            assert (table.at(threshold).macs, table.at(threshold).metric) == (macs, metric)
        # Of train and val; the vector has no length, so every sample costs the same.
        assert expected_macs(network, dataset) == found[0][0]


class TestRandomMix:
    @pytest.mark.parametrize(("macs", "number"), [(10, 0), (40, 2), (0, 0), (1000, 2)])
    def test_at_the_ends_it_is_a_static_route(self, make_table, macs, number):
        table = right_on(make_table, [[1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 0]], [10, 20, 40])
        mean, deviation = random_mix(table, macs, seed=0)
        assert mean == pytest.approx(static_routes(table)[number][1])
        assert deviation == 0.0

    @pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
    def test_between_them_it_is_a_straight_line(self, make_table, share):
        generator = torch.Generator().manual_seed(1)
        right = [(torch.rand(400, generator=generator) < chance).int().tolist() for chance in (0.4, 0.9)]
        table = right_on(make_table, right, [10, 110])
        (_, worse), (_, better) = static_routes(table)
        mean, deviation = random_mix(table, 10 + 100 * share, seed=3, n_draws=400)
        assert mean == pytest.approx(worse + share * (better - worse), abs=4 * deviation / 400**0.5)
        assert deviation > 0

    def test_a_bad_route_in_the_middle_is_stepped_over(self, make_table):
        good, bad, best = [1, 0] * 20, [0] * 40, [1] * 40
        table = right_on(make_table, [good, bad, best], [10, 20, 30])
        mean, _ = random_mix(table, 20, seed=0, n_draws=50)
        assert mean == pytest.approx(0.75, abs=0.03)

    def test_a_good_route_in_the_middle_is_taken(self, make_table):
        table = right_on(make_table, [[0] * 40, [1, 1, 1, 0] * 10, [1] * 40], [10, 20, 30])
        assert random_mix(table, 20, seed=0) == (0.75, 0.0)

    def test_of_routes_of_equal_cost_the_better_is_taken(self, make_table):
        table = right_on(make_table, [[1, 0, 0, 0], [1, 1, 1, 0]], [10, 10])
        assert random_mix(table, 10, seed=0) == (0.75, 0.0)

    def test_a_first_route_that_is_not_the_cheapest(self, make_table):
        table = right_on(make_table, [[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0]], [20, 10, 40])
        assert random_mix(table, 5, seed=0) == (0.25, 0.0)

    def test_an_error_is_to_be_small(self, make_table):
        outputs = torch.tensor([[[1.0], [9.0], [0.0]]]).expand(40, -1, -1)
        table = make_table(
            n_samples=40,
            macs=[10, 20, 30],
            outputs=outputs,
            targets=torch.zeros(40, 1),
            metric="mae",
            task=Task("regression", 1),
        )
        assert random_mix(table, 20, seed=0)[0] == pytest.approx(0.5)

    def test_a_seed_decides_everything(self, make_table):
        table = make_table(seed=2)
        macs = table.at(0.5).macs
        before = torch.get_rng_state()
        assert random_mix(table, macs, seed=1) == random_mix(table, macs, seed=1)
        assert random_mix(table, macs, seed=1) != random_mix(table, macs, seed=2)
        assert torch.equal(torch.get_rng_state(), before)


class TestOracle:
    def test_by_hand(self, make_table):
        table = right_on(make_table, [[1, 0, 0, 0], [0, 1, 0, 0], [1, 1, 1, 0]], [10, 20, 40])
        assert oracle(table) == ((10 + 20 + 40 + 10) / 4, 0.75)

    @settings(max_examples=30)
    @given(seed=st.integers(0, 10**6), threshold=st.floats(0, 1))
    def test_no_routing_is_better_than_the_oracle(self, make_table, seed, threshold):
        table = make_table(seed=seed, n_samples=20)
        macs, metric = oracle(table)
        assert metric >= table.at(threshold).metric
        assert all(metric >= other for _, other in static_routes(table))
        naive = [
            next((k for k in range(3) if table.digests[i, k].argmax() == table.targets[i]), 0)
            for i in range(len(table.targets))
        ]
        assert macs == pytest.approx(sum(int(table.static_macs[i, k]) for i, k in enumerate(naive)) / len(naive))


class TestClairvoyant:
    def test_takes_the_cheapest_route_that_agrees_with_the_costliest(self, make_table):
        outputs = F.one_hot(torch.tensor([[1, 2, 1], [0, 2, 2], [3, 3, 0]]), 4).float()
        table = make_table(n_samples=3, macs=[10, 20, 40], outputs=outputs, targets=torch.tensor([1, 0, 0]))
        assert clairvoyant(table) == (pytest.approx((10 + 20 + 40) / 3), pytest.approx(2 / 3))

    @settings(max_examples=20)
    @given(seed=st.integers(0, 10**6))
    def test_is_as_good_as_the_costliest_route(self, make_table, seed):
        table = make_table(seed=seed)
        macs, metric = clairvoyant(table)
        assert metric == static_routes(table)[-1][1]
        assert macs <= static_routes(table)[-1][0]


class TestConfidenceCascade:
    def cascade(self, make_recipe, dataset, metric, n_points=5):
        network, table = routed(make_recipe, dataset, metric=metric)
        points = confidence_cascade(table, network, dataset.val, dataset, n_points=n_points)
        return network, table, points

    def test_its_ends(self, make_recipe, dataset):
        network, table, points = self.cascade(make_recipe, dataset, "accuracy")
        statics = static_routes(table)
        assert points[0] == statics[0]
        assert points[-1][1] == statics[-1][1]
        # The cheap route of the vector runs first, and its stream is gone on from.
        assert points[-1][0] == pytest.approx(statics[-1][0] + network.branches[0].head.macs())
        assert [macs for macs, _ in points] == sorted(macs for macs, _ in points)

    @pytest.mark.parametrize(("task", "metric"), [("multiclass", "accuracy"), ("multilabel", "micro_f1")])
    def test_the_least_confident_samples_are_escalated_first(self, make_recipe, make_dataset, task, metric):
        dataset = make_dataset(task)
        network, table, points = self.cascade(make_recipe, dataset, metric, n_points=3)
        logits = table.digests[:, 0].double()
        if task == "multiclass":
            sure = F.softmax(logits, dim=1).amax(dim=1)
        else:
            p = logits.sigmoid()
            sure = (p * p.log() + (1 - p) * (1 - p).log()).mean(dim=1)
        n_up = round(len(sure) / 2)
        up = set(sorted(range(len(sure)), key=lambda row: float(sure[row]))[:n_up])
        chosen = torch.tensor([int(row in up) for row in range(len(sure))])
        assert points[1][1] == table.metric_of(chosen)
        lengths = dataset.val.lengths("s").tolist()
        by_route = torch.tensor([network.cascade_macs({"s": length}) for length in lengths]).double()
        everyone = [*dataset.train.lengths("s").tolist(), *lengths]
        mean = torch.tensor([network.cascade_macs({"s": length}) for length in everyone]).double().mean(dim=0)
        macs = (by_route + mean - by_route.mean(dim=0)).gather(1, chosen[:, None])
        assert points[1][0] == pytest.approx(float(macs.mean()))

    def test_numbers_have_no_confidence(self, make_recipe, make_dataset):
        assert self.cascade(make_recipe, make_dataset("regression"), "mae")[2] == []
