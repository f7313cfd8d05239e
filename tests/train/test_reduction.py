"""The ratio loss in training, and keep ratios swept on a trained network."""

import math

import pytest
import torch

from nasfuse.cost import count_network, expected_macs
from nasfuse.nn import build_network
from nasfuse.nn.reducers import REDUCERS, ratio_loss
from nasfuse.nn.reducers.selection import GumbelTopK
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.stream import LEARNED
from nasfuse.train import evaluate, measure, train_network
from nasfuse.train.reduction import kept_at, settings_of, sweep_reducers

CPU = torch.device("cpu")


@pytest.fixture
def make_sparse(make_recipe):
    """Recipes of two token streams whose reducers have one kind and ratio each."""

    def make(kind="max", ratio=0.5, *, at=1, fusion_reducer=None, fusion="joint_tokens", **training):
        recipe = make_recipe(encoders={"s": "transformer", "i": "transformer"}, fusion=fusion, **training)
        plain = recipe.to_plain()
        for stream in plain["network"]["streams"].values():
            stream["reducer"] = {"kind": kind, "keep_ratio": ratio, "at": at}
        if fusion_reducer:
            plain["network"]["fusion"]["reducer"] = fusion_reducer
        return Recipe.parse(plain)

    return make


def built(recipe, dataset):
    return build_network(recipe.network, dataset.modalities, dataset.task).eval()


def settings(dataset, network):
    return settings_of(network, dataset.modalities)


def test_the_ratio_loss_is_taken_once(make_sparse, dataset):
    network = built(make_sparse("gumbel", 0.25), dataset).train()
    assert ratio_loss(network) == 0.0
    batch = dataset.train.batch(torch.arange(8), names=network.stream_names)
    network(batch.inputs, batch.masks)
    reducers = [module for module in network.modules() if isinstance(module, GumbelTopK)]
    losses = [reducer.ratio_loss for reducer in reducers]
    assert len(losses) == 2
    assert torch.allclose(ratio_loss(network), torch.stack(losses).mean())
    assert ratio_loss(network) == 0.0, "what is taken is forgotten"
    network.eval()(batch.inputs, batch.masks)
    assert ratio_loss(network) == 0.0, "there is none after training"


def test_training_holds_the_chance_to_the_ratio(make_sparse, make_dataset):
    dataset = make_dataset(n_samples=160)

    def mean_chance(weight):
        recipe = make_sparse("gumbel", 0.1, epochs=10, lr=0.02, ratio_weight=weight)
        network = train_network(recipe, dataset, seed=0, device=CPU).network.train()
        batch = dataset.val.batch(torch.arange(len(dataset.val)), names=network.stream_names)
        network(batch.inputs, batch.masks)
        return float(ratio_loss(network).detach())

    assert mean_chance(20.0) < 0.3 * mean_chance(0.0)


@pytest.mark.parametrize("kind", REDUCERS)
def test_every_reducer_trains(make_sparse, dataset, kind):
    trained = train_network(make_sparse(kind, 0.3, epochs=2), dataset, seed=0, device=CPU)
    assert math.isfinite(trained.chosen.val_loss)
    points, _ = measure(trained, dataset, metric="accuracy", device=CPU)
    assert points[0].macs == expected_macs(trained.network, dataset)
    swept = [point.knobs for point in points[1:]]
    assert bool(swept) == (kind not in LEARNED)
    assert all(set(knobs) <= {"keep_ratio.s", "keep_ratio.i"} for knobs in swept)
    assert all(point.holds for point in points)


def test_settings_change_all_streams_and_each_alone(make_sparse, dataset):
    found = settings(dataset, built(make_sparse("merge", 0.25), dataset))
    both = [setting for setting in found if len(setting) == 2]
    assert both == [{"keep_ratio.s": ratio, "keep_ratio.i": ratio} for ratio in (0.5, 0.125, 0.0625)]
    assert len(found) == 9
    assert {"keep_ratio.i": 0.125} in found


def test_a_ratio_that_leaves_as_many_tokens_is_no_setting(make_sparse, dataset):
    # Of 11 steps a window of 16 makes one token, as does any longer one; 42 patches still have windows of 4 x 4.
    found = settings(dataset, built(make_sparse("max", 0.0625), dataset))
    assert {"keep_ratio.i": 0.125} in found
    assert {"keep_ratio.s": 0.125} in found
    assert not any(setting.get("keep_ratio.s", 1) < 0.0625 for setting in found)


def test_what_has_no_other_ratio_has_no_settings(make_sparse, make_recipe, dataset):
    assert settings(dataset, built(make_sparse(ratio=1.0), dataset)) == [], "it was trained without"
    assert settings(dataset, built(make_sparse("latent", 0.25), dataset)) == []
    assert settings(dataset, built(make_recipe(), dataset)) == [], "pooling of convolutions is part of them"
    both = make_recipe(encoders={"v": "mlp", "s": "transformer"}, router={"routes": ["v", "v+s"]})
    assert settings(dataset, built(both, dataset)) == []


def test_merging_is_swept_on_a_network_trained_without_it(make_sparse, dataset):
    found = settings(dataset, built(make_sparse("merge", 1.0, at=None), dataset))
    assert {"keep_ratio.s": 0.5, "keep_ratio.i": 0.5} in found
    assert all(0 < ratio < 1 for setting in found for ratio in setting.values())


def test_reducers_of_joint_stages_are_swept(make_sparse, dataset):
    network = built(make_sparse(ratio=1.0, fusion_reducer={"kind": "merge", "keep_ratio": 0.5}), dataset)
    assert settings(dataset, network) == [{"keep_ratio": 1.0}, {"keep_ratio": 0.25}, {"keep_ratio": 0.125}]


def test_a_point_is_the_network_with_that_ratio(make_sparse, dataset):
    trained = train_network(make_sparse("merge", 0.5, epochs=1), dataset, seed=0, device=CPU)
    before = trained.network.state_dict()
    points = sweep_reducers(trained.network, dataset, metric="accuracy", device=CPU)
    assert len({point.macs for point in points}) > 3
    for point in points:
        plain = make_sparse("merge", 0.5).to_plain()
        for knob, value in point.knobs.items():
            plain["network"]["streams"][knob.split(".")[1]]["reducer"]["inference_keep_ratio"] = value
        rebuilt = built(Recipe.parse(plain), dataset)
        rebuilt.load_state_dict(before)
        assert expected_macs(rebuilt, dataset) == point.macs
        value, _ = evaluate(rebuilt, dataset.val, metric="accuracy", task=dataset.task, device=CPU)
        assert value == point.metric
        batch = dataset.val.batch(torch.tensor([0]), names=("s", "i"))
        with point.set_on(trained.network):
            length = int(batch.masks["s"].sum())
            alone = {"s": batch.inputs["s"][:, :length], "i": batch.inputs["i"]}
            assert count_network(trained.network, type(batch)(alone, {}, batch.targets)) == rebuilt.macs({"s": length})


def test_the_setting_ends_with_the_block(make_sparse, dataset):
    network = built(make_sparse("top_k", 0.5), dataset)
    macs = expected_macs(network, dataset)
    with pytest.raises(RuntimeError, match="in the middle"), kept_at(network, {"keep_ratio.s": 0.1}):
        assert expected_macs(network, dataset) < macs
        raise RuntimeError("in the middle")
    assert expected_macs(network, dataset) == macs
