"""The sweep: which settings a network has, what they cost, and that they are the network with that recipe."""

import math

import pytest
import torch

from nasfuse.cost import count_network, expected_macs
from nasfuse.domain.knob import with_settings
from nasfuse.nn import build_network
from nasfuse.nn.knob import knobs_at
from nasfuse.spec.recipe import Recipe
from nasfuse.train import evaluate, measure, sweep, tabulate_routes, train_network
from nasfuse.train.sweep import set_network, sweep_settings

CPU = torch.device("cpu")


def built(recipe, dataset):
    return build_network(recipe.network, dataset.modalities, dataset.task).eval()


def settings(recipe, dataset):
    return sweep_settings(built(recipe, dataset), dataset.modalities)


def with_solver(recipe, **options):
    """The recipe with equilibrium fusion in the place of its own."""
    plain = recipe.to_plain()
    plain["network"]["fusion"] = {"kind": "equilibrium", "placement": 1, "width": 16, **options}
    return Recipe.parse(plain)


@pytest.fixture
def make_all(make_sparse):
    """Recipes with every kind of knob: keep ratios of two streams, a solver and, unless it is None, a router."""

    def make(routes=("s", "s+i"), **training):
        plain = with_solver(make_sparse("merge", 0.5, **training), max_steps=8).to_plain()
        if routes:
            plain["network"]["router"] = {"routes": list(routes), "width": 4}
        return Recipe.parse(plain)

    return make


class TestSettings:
    def test_all_streams_and_each_alone(self, make_sparse, dataset):
        found = settings(make_sparse("merge", 0.25), dataset)
        both = [setting for setting in found if len(setting) == 2]
        assert both == [{"keep_ratio.s": ratio, "keep_ratio.i": ratio} for ratio in (0.5, 0.125, 0.0625)]
        assert len(found) == 9
        assert {"keep_ratio.i": 0.125} in found

    def test_a_ratio_that_keeps_the_same_number_of_tokens_is_no_setting(self, make_sparse, dataset):
        # Of 11 steps a window of 16 makes one token, as does any longer one; 42 patches still have windows of 4 x 4.
        found = settings(make_sparse("max", 0.0625), dataset)
        assert {"keep_ratio.i": 0.125} in found
        assert {"keep_ratio.s": 0.125} in found
        assert not any(setting.get("keep_ratio.s", 1) < 0.0625 for setting in found)

    def test_a_network_without_knobs_has_no_settings(self, make_sparse, make_recipe, dataset):
        assert settings(make_sparse(ratio=1.0), dataset) == [], "it was trained without"
        assert settings(make_sparse("latent", 0.25), dataset) == []
        assert settings(make_recipe(), dataset) == [], "pooling of convolutions is part of them"
        tied = with_solver(make_recipe(), gradient="unroll")
        assert settings(tied, dataset) == []

    def test_merging_is_swept_on_a_network_trained_without_it(self, make_sparse, dataset):
        found = settings(make_sparse("merge", 1.0, at=None), dataset)
        assert {"keep_ratio.s": 0.5, "keep_ratio.i": 0.5} in found
        assert all(0 < ratio < 1 for setting in found for ratio in setting.values())

    def test_reducers_of_joint_stages(self, make_sparse, dataset):
        recipe = make_sparse(ratio=1.0, fusion_reducer={"kind": "merge", "keep_ratio": 0.5})
        assert settings(recipe, dataset) == [{"keep_ratio": 1.0}, {"keep_ratio": 0.25}, {"keep_ratio": 0.125}]

    def test_of_a_solver(self, make_recipe, dataset):
        caps = [{"max_steps": 12}, {"max_steps": 8}, {"max_steps": 4}]
        assert settings(with_solver(make_recipe()), dataset) == [*caps, {"tolerance": 0.01}, {"tolerance": 0.1}]
        assert settings(with_solver(make_recipe(), max_steps=1), dataset) == []
        assert {"tolerance": 1.0} not in settings(with_solver(make_recipe(), tolerance=0.01), dataset)

    def test_kinds_are_swept_together(self, make_all, dataset):
        found = settings(make_all(routes=None), dataset)
        kinds = [{name.partition(".")[0] for name in setting} for setting in found]
        products = [setting for setting, kind in zip(found, kinds, strict=True) if len(kind) > 1]
        assert 1 < len(products) <= 6
        assert products[0] == {"max_steps": 2, "keep_ratio.s": 0.125, "keep_ratio.i": 0.125}, "the cheapest of all"
        assert {"max_steps": 6, "keep_ratio.s": 0.25, "keep_ratio.i": 0.25} in products, "and the mildest"
        assert not any({"max_steps", "tolerance"} <= setting.keys() for setting in found)
        assert len(found) == len({tuple(setting.items()) for setting in found})

    @pytest.mark.parametrize("routes", [("s", "s+i"), ("s", "s+i:0", "s+i")])
    def test_a_routed_network_has_few(self, make_all, dataset, routes):
        found = settings(make_all(routes), dataset)
        assert 6 < len(found) <= 12
        assert {"keep_ratio.s": 0.25, "keep_ratio.i": 0.25} in found
        assert {"max_steps": 2} in found
        assert any({"max_steps", "keep_ratio.s"} <= setting.keys() for setting in found)
        assert not any("threshold" in setting for setting in found)

    def test_they_do_not_depend_on_weights(self, make_all, dataset):
        recipe = make_all()
        torch.manual_seed(1)
        first = settings(recipe, dataset)
        torch.manual_seed(2)
        assert settings(recipe, dataset) == first


def test_a_point_is_the_network_with_that_recipe(make_all, dataset):
    recipe = make_all(routes=None, epochs=1)
    trained = train_network(recipe, dataset, seed=0, device=CPU)
    before = trained.network.state_dict()
    points = sweep.sweep(trained.network, dataset, metric="accuracy", device=CPU)
    assert len({point.macs for point in points}) > 5
    for point in points:
        rebuilt = built(Recipe.parse(with_settings(recipe.to_plain(), point.settings)), dataset)
        rebuilt.load_state_dict(before)
        value, _ = evaluate(rebuilt, dataset.val, metric="accuracy", task=dataset.task, device=CPU)
        assert value == point.metric
        assert point.macs <= expected_macs(rebuilt, dataset)
        assert {knob.name: knob.get() for knob in rebuilt.knobs()} == {
            **{knob.name: knob.get() for knob in trained.network.knobs()},
            **point.settings,
        }


def test_counted_macs_follow_the_setting(make_sparse, dataset):
    recipe = make_sparse("merge", 0.5)
    network = built(recipe, dataset)
    batch = dataset.val.batch(torch.tensor([0]), names=("s", "i"))
    length = int(batch.masks["s"].sum())
    alone = type(batch)({"s": batch.inputs["s"][:, :length], "i": batch.inputs["i"]}, {}, batch.targets)
    for setting in sweep_settings(network, dataset.modalities):
        with knobs_at(network.knobs(), setting):
            assert count_network(network, alone) == network.macs({"s": length})


@pytest.fixture(scope="module")
def trained(make_sparse, dataset):
    plain = make_sparse("merge", 0.5, fusion="concat", epochs=3, lr=0.02).to_plain()
    plain["network"]["router"] = {"routes": ["s", "s+i"], "width": 4, "reads": "inputs"}
    return train_network(Recipe.parse(plain), dataset, seed=0, device=CPU)


@pytest.fixture(scope="module")
def points(trained, dataset):
    return measure(trained, dataset, metric="accuracy", device=CPU)[0]


class TestRouted:
    def test_thresholds_and_keep_ratios_are_swept_together(self, trained, points, dataset):
        assert len(points) <= 24
        by_setting = {}
        for point in points[10:]:
            setting = {name: value for name, value in point.settings.items() if name != "threshold"}
            by_setting.setdefault(tuple(setting.items()), []).append(point)
        assert [dict(key) for key in by_setting] == sweep_settings(trained.network, dataset.modalities)
        for setting, curve in by_setting.items():
            assert [point.macs for point in curve] == sorted(point.macs for point in curve)
            with knobs_at(trained.network.knobs(), dict(setting)):
                table = tabulate_routes(
                    trained.network, dataset.val, dataset, metric="accuracy", device=CPU
                ).calibrated()
            for point in curve:
                routed = table.at(point.settings["threshold"])
                assert (point.metric, point.macs) == (routed.metric, math.ceil(routed.macs - 1e-6))

    def test_a_point_can_be_set(self, trained, points, dataset):
        state, network = trained.network.state_dict(), trained.network
        before = {knob.name: knob.get() for knob in network.knobs()}
        kept = {key: value.clone() for key, value in state.items()}
        for point in points:
            set_network(network, {**before, **point.settings})
            value, _ = evaluate(network, dataset.val, metric="accuracy", task=dataset.task, device=CPU)
            assert value == point.metric, point.setting
            set_network(network, before)
            network.load_state_dict(kept)

    def test_measuring_leaves_the_network_as_it_was(self, trained, dataset):
        before = {key: value.clone() for key, value in trained.network.state_dict().items()}
        knobs = {knob.name: knob.get() for knob in trained.network.knobs()}
        measure(trained, dataset, metric="accuracy", device=CPU)
        assert {knob.name: knob.get() for knob in trained.network.knobs()} == knobs
        assert all(torch.equal(value, before[key]) for key, value in trained.network.state_dict().items())

    @pytest.mark.slow
    def test_settings_that_must_hold_are_compared_at_the_same_threshold(self, make_all, dataset):
        trained = train_network(make_all(epochs=2), dataset, seed=0, device=CPU)
        points, _ = measure(trained, dataset, metric="accuracy", device=CPU)
        assert len(points) <= 24
        assert all(point.holds for point in points if not {"max_steps", "tolerance"} & point.settings.keys())


@pytest.mark.parametrize("reads", ["cheap_route", "inputs"])
def test_knobs_of_inference_do_not_touch_training(make_sparse, dataset, reads):
    """The image costs more than the sequence as trained, and less at the keep ratio of inference."""

    def states(setting):
        plain = make_sparse("merge", 1.0, fusion="concat", epochs=2, patience=2).to_plain()
        plain["network"]["router"] = {"routes": ["s", "i", "s+i"], "width": 4, "reads": reads}
        recipe = Recipe.parse(with_settings(plain, setting))
        network = train_network(recipe, dataset, seed=0, device=CPU).network
        return network, {key: value for key, value in network.state_dict().items() if not key.startswith("gate_")}

    plain, swept = states({}), states({"keep_ratio.i": 0.05})
    costs = [network.static_macs({"s": 11}) for network, _ in (plain, swept)]
    assert costs[0] == sorted(costs[0])
    assert costs[1] != sorted(costs[1])
    assert plain[0].route_names == swept[0].route_names
    assert all(torch.equal(value, swept[1][key]) for key, value in plain[1].items())
