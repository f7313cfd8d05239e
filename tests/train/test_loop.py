"""Training: it learns, a seed decides everything, and an interruption changes nothing."""

import math

import pytest
import torch

from nasfuse.domain.metric import METRICS
from nasfuse.errors import CheckpointError, InvalidInputError, NonFiniteError
from nasfuse.experiment.plain_models import constant_score
from nasfuse.spec.recipe import Recipe
from nasfuse.train import loop, predict_logits, save_checkpoint, train_network, validation

CPU = torch.device("cpu")
# Everything in training that draws random numbers.
RANDOM = {"mixup": 0.2, "input_noise": 0.1, "shift": 0.2, "modality_dropout": 0.2}


class Interruption(Exception):
    """Stands for a kill."""


def train(recipe, dataset, *, seed=0, **options):
    return train_network(recipe, dataset, seed=seed, device=CPU, **options)


def test_a_fused_network_learns_what_no_stream_shows(make_recipe, make_dataset):
    dataset = make_dataset(n_samples=300)
    both = train(make_recipe(epochs=12), dataset).chosen.val_metric
    alone = train(make_recipe(encoders={"v": "mlp"}, fusion=None, epochs=12), dataset).chosen.val_metric
    assert both > 0.9
    assert alone < 0.75


@pytest.mark.parametrize(
    ("task", "metric"),
    [(task, m.name) for m in METRICS.values() for task in m.tasks if task in ("multilabel", "regression")],
)
def test_other_tasks_are_learnt(make_recipe, make_dataset, task, metric):
    dataset = make_dataset(task, n_samples=200)
    curve = train(make_recipe(metric=metric, epochs=8), dataset).curve
    assert curve[-1].val_loss < 0.6 * curve[0].val_loss or curve[-1].val_loss < 0.1
    assert METRICS[metric].sign * curve[-1].val_metric < METRICS[metric].sign * constant_score([dataset], metric)


@pytest.mark.parametrize("mixup_at", ["inputs", "manifold"])
def test_a_seed_decides_everything(make_recipe, dataset, assert_same, differ, mixup_at):
    recipe = make_recipe(**RANDOM, mixup_at=mixup_at)
    first = train(recipe, dataset, seed=3)
    torch.randn(7)
    assert_same(first, train(recipe, dataset, seed=3))
    assert differ(first, train(recipe, dataset, seed=4))


def test_the_global_generator_is_neither_used_nor_moved(make_recipe, dataset):
    before = torch.get_rng_state()
    train(make_recipe(**RANDOM), dataset)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_global_generator_is_left_alone_after_a_failure(make_recipe, dataset):
    def interrupt(epoch):
        raise Interruption

    before = torch.get_rng_state()
    with pytest.raises(Interruption, match=r"^$"):
        train(make_recipe(), dataset, report=interrupt)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("after", "mixup_at"), [(1, "inputs"), (2, "inputs"), (4, "inputs"), (2, "manifold")])
def test_interrupted_and_resumed_equals_unbroken(
    make_recipe, dataset, tmp_path, monkeypatch, after, mixup_at, assert_same
):
    monkeypatch.setattr("nasfuse.train.progress._LONGEST_INTERVAL_S", 0.0)
    recipe = make_recipe(epochs=5, **RANDOM, mixup_at=mixup_at)
    resume_file = tmp_path / "progress.pt"
    unbroken = train(recipe, dataset)

    def interrupt(epoch):
        if epoch.epoch == after:
            raise Interruption

    with pytest.raises(Interruption, match=r"^$"):
        train(recipe, dataset, report=interrupt, resume_file=resume_file)
    assert resume_file.exists() == (after > 1)
    seen = []
    resumed = train(recipe, dataset, report=seen.append, resume_file=resume_file)
    assert_same(unbroken, resumed)
    # The epoch in which it broke was not saved yet, so it is the first to be run again.
    assert seen == resumed.curve
    assert resume_file.exists(), "until the caller has saved the result"


def test_resuming_keeps_patience_and_wall_time(make_recipe, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("nasfuse.train.progress._LONGEST_INTERVAL_S", 0.0)
    losses = iter([1.0, 0.5, 0.6, 0.6, 0.7, 0.8])  # the third epoch runs twice
    monkeypatch.setattr(validation, "evaluate", lambda *_, **__: (0.5, next(losses)))
    seen = []

    def interrupt(epoch):
        seen.append(epoch)
        if len(seen) == 3:
            seen.pop()
            raise Interruption

    recipe = make_recipe(epochs=5, patience=2)
    with pytest.raises(Interruption, match=r"^$"):
        train(recipe, dataset, report=interrupt, resume_file=tmp_path / "p.pt")
    resumed = train(recipe, dataset, report=seen.append, resume_file=tmp_path / "p.pt")
    assert resumed.status == "early stop"
    assert resumed.chosen.epoch == 2
    assert [epoch.epoch for epoch in resumed.curve] == [1, 2, 3, 4]
    times = [epoch.wall_s for epoch in resumed.curve]
    assert times == sorted(times)


@pytest.mark.parametrize("change", ["recipe", "seed", "data"])
def test_a_resume_file_of_another_training_is_refused(make_recipe, make_dataset, tmp_path, monkeypatch, change):
    monkeypatch.setattr("nasfuse.train.progress._LONGEST_INTERVAL_S", 0.0)
    resume_file = tmp_path / "progress.pt"

    def interrupt(epoch):
        if epoch.epoch == 2:
            raise Interruption

    with pytest.raises(Interruption, match=r"^$"):
        train(make_recipe(), make_dataset(), report=interrupt, resume_file=resume_file)
    recipe = make_recipe(lr=0.02) if change == "recipe" else make_recipe()
    dataset = make_dataset(seed=9) if change == "data" else make_dataset()
    with pytest.raises(
        CheckpointError,
        match=r"progress\.pt holds the progress of another recipe, seed or data set; remove it or choose another",
    ):
        train(recipe, dataset, seed=1 if change == "seed" else 0, resume_file=resume_file)
    assert resume_file.exists()


def test_a_damaged_resume_file_is_refused(make_recipe, dataset, tmp_path):
    (tmp_path / "progress.pt").write_bytes(b"damaged")
    with pytest.raises(
        CheckpointError, match=r"progress\.pt cannot be resumed; remove it to start that training again"
    ):
        train(make_recipe(), dataset, resume_file=tmp_path / "progress.pt")
    save_checkpoint(tmp_path / "progress.pt", {"network": {}})
    with pytest.raises(CheckpointError, match="holds the progress of another recipe"):
        train(make_recipe(), dataset, resume_file=tmp_path / "progress.pt")


def test_a_shorter_run_equals_the_start_of_a_longer_one(make_recipe, dataset):
    recipe = make_recipe(epochs=4, **RANDOM)
    whole, part = train(recipe, dataset), train(recipe, dataset, epochs=2)
    assert [epoch.val_loss for epoch in part.curve] == [epoch.val_loss for epoch in whole.curve[:2]]
    assert len(train(recipe, dataset, epochs=99).curve) == 4


def test_every_epoch_is_reported_as_it_ends(make_recipe, dataset):
    seen = []
    trained = train(make_recipe(), dataset, report=seen.append)
    assert seen == trained.curve
    assert [epoch.epoch for epoch in seen] == [1, 2, 3, 4]
    assert trained.status == "complete"
    assert not trained.network.training


def test_patience_ends_training_and_the_best_epoch_is_returned(make_recipe, dataset, monkeypatch, differ):
    recipe = make_recipe(epochs=8, patience=2)
    second = train(recipe, dataset, epochs=2)
    losses = iter([1.0, 0.5, 0.6, 0.7, 0.1])
    monkeypatch.setattr(validation, "evaluate", lambda *_, **__: (0.5, next(losses)))
    stopped = train(recipe, dataset)
    assert stopped.status == "early stop"
    assert stopped.chosen.epoch == 2
    assert len(stopped.curve) == 4
    assert second.chosen.epoch == 2
    assert not differ(stopped, second)


def test_running_out_of_patience_in_the_last_epoch_is_complete(make_recipe, dataset, monkeypatch):
    losses = iter([0.5, 0.6, 0.7])
    monkeypatch.setattr(validation, "evaluate", lambda *_, **__: (0.5, next(losses)))
    assert train(make_recipe(epochs=3, patience=2), dataset).status == "complete"


def test_the_learning_rate_rises_then_falls_to_zero(make_recipe, dataset):
    recipe = make_recipe(epochs=10, warmup=0.2, batch_size=48)
    run = loop._Run(recipe, dataset, seed=0, device=CPU)
    total = 10 * 2
    assert len(dataset.train) == 96
    rates = []
    for run.step in range(total):
        rates.append(run.learning_rate())
    assert rates[3] == recipe.training.lr == max(rates)
    assert rates[:4] == pytest.approx([0.0025, 0.005, 0.0075, 0.01])
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert 0 < rates[-1] < 0.02 * max(rates)


def test_nan_in_training_data_is_no_result(make_recipe, make_dataset):
    dataset = make_dataset()
    column = dataset.train.columns["v"]
    column.values[column.index[0], 0] = math.nan
    with pytest.raises(NonFiniteError, match=r"^the training loss became nan in epoch 1; lower training.lr$"):
        train(make_recipe(), dataset)


def test_nan_in_validation_data_is_no_result(make_recipe, make_dataset):
    dataset = make_dataset()
    column = dataset.val.columns["v"]
    column.values[column.index[0], 0] = math.nan
    with pytest.raises(NonFiniteError, match=r"^the validation metric became nan in epoch 1; lower training.lr$"):
        train(make_recipe(), dataset)


def test_a_last_batch_of_one_sample_is_trained_on(make_recipe, make_dataset):
    dataset = make_dataset(n_samples=122)
    size = len(dataset.train) - 1
    assert len(train(make_recipe(epochs=1, batch_size=size), dataset).curve) == 1


def test_ids_and_mixup_do_not_go_together(make_recipe, dataset):
    with pytest.raises(InvalidInputError, match="token ids cannot be averaged, and q holds them"):
        train(make_recipe(encoders={"v": "mlp", "q": "transformer"}, mixup=0.2), dataset)


@pytest.mark.parametrize("encoders", [{"q": "mlp", "i": "conv"}, {"s": "transformer", "q": "conv"}])
def test_every_kind_of_input_trains(make_recipe, dataset, encoders):
    recipe = make_recipe(encoders=encoders, fusion="bottleneck", epochs=1, input_noise=0.1, modality_dropout=0.2)
    assert math.isfinite(train(recipe, dataset).chosen.val_loss)


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_balanced_weights_change_a_training(make_recipe, make_dataset, differ, task):
    metric = next(one.name for one in METRICS.values() if task in one.tasks)
    dataset = make_dataset(task, n_samples=60)
    recipes = [make_recipe(metric=metric, class_weights=weights) for weights in ("none", "balanced")]
    assert differ(*(train(recipe, dataset) for recipe in recipes))


FOCAL = {"loss": "focal", "focal_gamma": 1.5}
ROUTER = {"kind": "gate", "routes": ["v", "v+s"], "reads": "inputs"}


@pytest.mark.parametrize(
    "others",
    [
        {},
        {"stream_loss": 0.5, "class_weights": "balanced", "label_smoothing": 0.1},
        {"mixup": 0.3},
        {"router": ROUTER},
        {"router": {"kind": "sequential", "routes": ["v", "v+s"]}},
    ],
)
def test_the_loss_changes_a_training(make_recipe, make_dataset, differ, others):
    dataset = make_dataset(n_samples=60)
    assert differ(*(train(make_recipe(**others, **loss), dataset) for loss in ({}, FOCAL)))


def test_the_validation_loss_is_that_of_the_training(make_recipe, make_dataset):
    dataset = make_dataset(n_samples=60)
    trained = train(make_recipe(**FOCAL, label_smoothing=0.1, class_weights="balanced"), dataset)
    probability = predict_logits(trained.network, dataset.val, device=CPU).softmax(dim=1)
    right = probability[torch.arange(len(dataset.val)), dataset.val.targets]
    by_hand = -((1 - right) ** 1.5 * right.log()).mean()
    assert trained.chosen.val_loss == pytest.approx(by_hand.item(), rel=1e-4)


@pytest.mark.parametrize("loss", ["l1", "squared"])
def test_losses_of_numbers_change_a_training(make_recipe, make_dataset, differ, loss):
    dataset = make_dataset("regression", n_samples=60)
    plain = make_recipe().to_plain()
    plain = {**plain, "metric": "mae", "data": {"source": "synthetic", "task": "regression"}}
    other = {**plain, "training": {**plain["training"], "loss": loss}}
    assert differ(*(train(Recipe.parse(one), dataset) for one in (plain, other)))
