"""Trainings in one stack: the same as one by one, and interrupted ones go on as if nothing had happened."""

import math
from dataclasses import replace

import pytest
import torch

from nasfuse.errors import CheckpointError, NonFiniteError
from nasfuse.spec.recipe import Recipe
from nasfuse.train import predict_digests, train_network, train_stacked
from nasfuse.train.network_stack import NetworkStack

CPU = torch.device("cpu")
# Everything in training that draws random numbers, except dropout.
RANDOM = {"mixup": 0.2, "input_noise": 0.1, "shift": 0.2, "modality_dropout": 0.2}


class Interruption(Exception):
    """Stands for a kill."""


@pytest.fixture(scope="module")
def folds(make_dataset):
    """Data sets with 51, 50 and 49 training samples, whose last batches of 16 differ in size."""
    found = []
    for number, n_samples in enumerate((51, 50, 49)):
        whole = make_dataset(n_samples=120, seed=number)
        train = whole.train.of_samples(torch.arange(n_samples))
        found.append(replace(whole, train=train, fingerprint=f"fold {number}"))
    return found


@pytest.fixture(scope="module")
def make_folded(make_recipe):
    """Recipes that are cross-validated."""

    def make(**options):
        plain = make_recipe(**{"batch_size": 16, "epochs": 3, "dropout": 0.0, **options}).to_plain()
        return Recipe.parse({**plain, "data": {**plain["data"], "validation": {"folds": 3}}})

    return make


def assert_close(stacked, alone):
    """Asserts that trainings have the same weights and curves, within rounding in float32."""
    for one, other in zip(stacked, alone, strict=True):
        state = one.network.state_dict()
        for key, value in other.network.state_dict().items():
            assert torch.allclose(state[key], value, atol=2e-3), key
        for epoch, expected in zip(one.curve, other.curve, strict=True):
            assert epoch.epoch == expected.epoch
            assert epoch.train_loss == pytest.approx(expected.train_loss, abs=1e-4)
            assert epoch.val_loss == pytest.approx(expected.val_loss, abs=1e-4)
            assert epoch.val_metric == pytest.approx(expected.val_metric)
        assert (one.status, one.chosen) == ("complete", one.curve[-1])


@pytest.mark.parametrize(
    "options",
    [
        {"patience": 1, "warmup": 0.3, **RANDOM},
        {"fusion": "late", "stream_loss": 0.5, "label_smoothing": 0.1, "class_weights": "balanced"},
        {"encoders": {"s": "random_conv", "i": "conv"}, "fusion": "sum", "input_noise": 0.1},
    ],
    ids=["random numbers of augmentation", "losses", "fixed features"],
)
def test_trainings_are_those_of_one_by_one(make_folded, folds, options):
    recipe = make_folded(**options)
    alone = [train_network(recipe, dataset, seed=seed, device=CPU) for seed, dataset in enumerate(folds)]
    reports = []
    stacked = train_stacked(recipe, folds, seeds=[0, 1, 2], report=lambda *reported: reports.append(reported))
    assert_close(stacked, alone)
    assert [tuple(epochs) for epochs, _ in reports] == list(zip(*(one.curve for one in stacked), strict=True))
    _, digests = reports[-1]
    for one, dataset, own in zip(stacked, folds, digests, strict=True):
        assert torch.allclose(own, predict_digests(one.network, dataset.val, task="multiclass", device=CPU), atol=1e-5)
    assert not any(module.training for one in stacked for module in one.network.modules())


@pytest.mark.parametrize(("task", "metric"), [("multilabel", "macro_f1"), ("regression", "mae")])
def test_other_tasks_too(make_folded, make_dataset, task, metric):
    datasets = [make_dataset(task, seed=seed) for seed in (0, 1)]
    recipe = make_folded(metric=metric)
    alone = [train_network(recipe, dataset, seed=seed, device=CPU) for seed, dataset in enumerate(datasets)]
    assert_close(train_stacked(recipe, datasets, seeds=[0, 1]), alone)


def test_seeds_decide_everything(make_folded, folds, assert_same, differ):
    recipe = make_folded(**RANDOM, dropout=0.3)
    before = torch.get_rng_state()
    first = train_stacked(recipe, folds, seeds=[3, 4, 5])
    assert torch.equal(torch.get_rng_state(), before), "the global generator is neither used nor moved"
    torch.randn(7)
    again = train_stacked(recipe, folds, seeds=[3, 4, 5])
    for one, other in zip(first, again, strict=True):
        assert_same(one, other)
    assert differ(first[0], train_stacked(recipe, folds, seeds=[6, 4, 5])[0])


def test_interrupted_and_resumed_equals_unbroken(make_folded, folds, tmp_path, monkeypatch, assert_same):
    monkeypatch.setattr("nasfuse.train.progress._LONGEST_INTERVAL_S", 0.0)
    recipe = make_folded(**RANDOM, dropout=0.3, stream_loss=0.5, epochs=4)
    unbroken = train_stacked(recipe, folds, seeds=[0, 1, 2])
    resume_file = tmp_path / "progress.pt"

    def interrupt(epochs, digests):
        if epochs[0].epoch == 3:
            raise Interruption

    with pytest.raises(Interruption, match=r"^$"):
        train_stacked(recipe, folds, seeds=[0, 1, 2], report=interrupt, resume_file=resume_file)
    seen = []
    resumed = train_stacked(
        recipe, folds, seeds=[0, 1, 2], report=lambda epochs, _: seen.append(tuple(epochs)), resume_file=resume_file
    )
    for one, other in zip(unbroken, resumed, strict=True):
        assert_same(one, other)
    assert seen == list(zip(*(one.curve for one in resumed), strict=True)), "earlier epochs are reported, too"
    with pytest.raises(CheckpointError, match="progress of another recipe, seed or data set; remove it"):
        train_stacked(recipe, folds, seeds=[0, 1, 7], resume_file=resume_file)


def test_a_loss_that_is_not_finite_is_an_error(make_folded, folds, monkeypatch):
    run = NetworkStack.run

    def broken(self, batches):
        outputs, of_streams = run(self, batches)
        return outputs * torch.tensor([1.0, math.nan, 1.0])[:, None, None], of_streams

    monkeypatch.setattr(NetworkStack, "run", broken)
    with pytest.raises(NonFiniteError, match=r"training loss became nan in epoch 1; lower training\.lr"):
        train_stacked(make_folded(), folds, seeds=[0, 1, 2])
