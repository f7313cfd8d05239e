"""Cross-validation: pooled metrics, and operating points of all folds together."""

from dataclasses import replace

import pytest
import torch

from nasfuse.data import Scale, Split
from nasfuse.spec.data import ValidationConfig
from nasfuse.train import FoldNetwork, measure, measure_folds, predict_logits, train_network
from nasfuse.train.cross_validation import pooled_score
from nasfuse.train.metrics import score

CPU = torch.device("cpu")


def test_a_pooled_score_is_that_of_all_predictions():
    logits = torch.randn(30, 3)
    targets = torch.arange(30) % 3
    splits = [Split({}, part) for part in targets.split(10)]
    for metric in ("accuracy", "macro_f1", "auc", "log_loss"):
        found = pooled_score(metric, logits.split(10), splits, task="multiclass")
        assert found == score(metric, logits, targets, task="multiclass")


@pytest.mark.parametrize("offset", [0.0, 1.7e9])
def test_numbers_are_pooled_in_the_unit_of_the_data(offset):
    own = torch.randn(20, 1, dtype=torch.float64)
    guess = own + 0.1 * torch.randn(20, 1, dtype=torch.float64)
    outputs, splits = [], []
    for truth, predicted in zip(own.split(10), guess.split(10), strict=True):
        scale = Scale(truth.mean(0, keepdim=True), truth.std(0, keepdim=True))
        outputs.append(((predicted - scale.mean) / scale.std).float())
        shifted = Scale(scale.mean + offset, scale.std)
        splits.append(Split({}, ((truth - scale.mean) / scale.std).float(), target_scale=shifted))
    for metric in ("mae", "r2"):
        expected = score(metric, guess, own, task="regression")
        assert pooled_score(metric, outputs, splits, task="regression") == pytest.approx(expected, rel=1e-5)


def test_a_prediction_that_is_not_finite_has_no_score():
    outputs = torch.full((4, 2), float("nan"))
    splits = [Split({}, torch.tensor([0, 1, 0, 1]))]
    assert str(pooled_score("accuracy", [outputs], splits, task="multiclass")) == "nan"


@pytest.fixture(scope="module")
def folds(make_recipe, make_dataset):
    """Two divisions into two folds, the second of which has other samples."""
    recipe = make_recipe(encoders={"v": "mlp", "s": "transformer"}, epochs=2)
    found = []
    for number in range(4):
        dataset = make_dataset(seed=number)
        found.append(FoldNetwork(train_network(recipe, dataset, seed=number, device=CPU).network, dataset))
    return found


def test_points_are_pooled_setting_by_setting(folds):
    points, record = measure_folds(folds, n_folds=2, metric="accuracy", device=CPU)
    by_division = []
    for pair in (folds[:2], folds[2:]):
        logits = [predict_logits(fold.network, fold.dataset.val, device=CPU) for fold in pair]
        targets = torch.cat([fold.dataset.val.targets for fold in pair])
        by_division.append(score("accuracy", torch.cat(logits), targets, task="multiclass"))
    assert record["validation"]["by_division"] == by_division
    assert record["validation"]["sd"] == pytest.approx(torch.tensor(by_division).std().item(), abs=1e-6)
    assert points[0].metric == pytest.approx(sum(by_division) / 2)
    assert len(points) > 1, "keep ratios are swept"
    assert len({tuple(point.knobs.items()) for point in points}) == len(points)
    assert all(point.macs != points[0].macs for point in points[1:])


def test_one_fold_has_the_points_of_a_training(make_recipe, dataset):
    trained = train_network(
        make_recipe(encoders={"v": "mlp", "s": "transformer"}, epochs=2), dataset, seed=0, device=CPU
    )
    alone, _ = measure(trained, dataset, metric="accuracy", device=CPU)
    pooled, record = measure_folds([FoldNetwork(trained.network, dataset)], n_folds=1, metric="accuracy", device=CPU)
    assert [(one.metric, one.macs, one.knobs, one.holds) for one in pooled] == [
        (one.metric, one.macs, one.knobs, one.holds) for one in alone
    ]
    assert record["validation"]["sd"] is None


@pytest.mark.parametrize(
    ("encoders", "fusion"),
    [({"v": "mlp", "s": "random_conv"}, "concat"), ({"v": "mlp", "s": "conv"}, "equilibrium")],
)
def test_a_training_without_validation_samples_ends_with_its_last_epoch(make_recipe, dataset, encoders, fusion):
    recipe = make_recipe(encoders=encoders, fusion=fusion, epochs=3, patience=1)
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"validation": ValidationConfig()})})
    nothing = replace(dataset.val, targets=dataset.val.targets[:0])
    trained = train_network(recipe, replace(dataset, val=nothing), seed=0, device=CPU)
    assert [(epoch.val_loss, epoch.val_metric) for epoch in trained.curve] == [(None, None)] * 3
    assert (trained.chosen, trained.status) == (trained.curve[-1], "complete")
    with_val = train_network(recipe, dataset, seed=0, device=CPU)
    assert len(with_val.curve) == 3, "patience has no effect"
    for name, values in trained.network.state_dict().items():
        assert torch.equal(values, with_val.network.state_dict()[name])


def test_solvers_of_all_folds_are_measured(make_recipe, dataset):
    recipe = make_recipe(fusion="equilibrium", epochs=1)
    trained = [train_network(recipe, dataset, seed=seed, device=CPU).network for seed in (0, 1)]
    points, record = measure_folds(
        [FoldNetwork(network, dataset) for network in trained], n_folds=2, metric="accuracy", device=CPU
    )
    assert "solves" in record["equilibrium"]
    assert points[0].macs > 0
