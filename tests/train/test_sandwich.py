"""Training of sub-networks beside the whole network: what they learn, and that it can be resumed."""

import pytest
import torch

from nasfuse.errors import ConfigError, InvalidInputError
from nasfuse.spec.recipe import Recipe
from nasfuse.train import evaluate, train_network

CPU = torch.device("cpu")
ELASTIC = {"network.streams.*.width": [4], "network.streams.v.depth": [1], "network.fusion.width": [4]}
SMALLEST = {
    "network.streams.v.width": 4,
    "network.streams.s.width": 4,
    "network.streams.v.depth": 1,
    "network.fusion.width": 4,
}


class Interruption(Exception):
    """Stands for the death of a process."""


@pytest.fixture
def make_elastic(make_recipe):
    """Recipes of two streams and a fusion whose widths may shrink."""

    def make(elastic=ELASTIC, *, encoders=None, fusion="concat", **training):
        plain = make_recipe(encoders=encoders, fusion=fusion, **training).to_plain()
        return Recipe.parse({**plain, "elastic": elastic})

    return make


def train(recipe, dataset, **options):
    return train_network(recipe, dataset, seed=0, device=CPU, **options)


def loss_of(network, dataset):
    return evaluate(network, dataset.val, metric="accuracy", task=dataset.task, device=CPU)[1]


@pytest.mark.parametrize("task", ["multiclass", "multilabel", "regression"])
def test_sub_networks_are_usable_and_those_of_an_ordinary_training_are_not(make_elastic, make_dataset, task):
    dataset = make_dataset(task, n_samples=200)
    metric = {"multiclass": "accuracy", "multilabel": "macro_f1", "regression": "mae"}[task]
    plain = make_elastic(metric=metric, epochs=8, dropout=0.0).to_plain()
    plain["data"] = {"source": "synthetic", "task": task}
    elastic = train(Recipe.parse(plain), dataset)
    del plain["elastic"], plain["training"]["elastic"]
    ordinary = train(Recipe.parse(plain), dataset)
    assert ordinary.parts is None
    parts = [elastic.parts.cut_out(one.network, SMALLEST) for one in (elastic, ordinary)]
    losses = [evaluate(part, dataset.val, metric=metric, task=dataset.task, device=CPU)[1] for part in parts]
    assert losses[0] < losses[1]


def test_a_part_of_the_loss_may_be_that_of_the_training(make_elastic, dataset):
    plain = make_elastic(epochs=2).to_plain()
    losses = set()
    for share in (0.0, 0.5, 1.0):
        plain["training"]["elastic"] = {"distillation": share, "n_random": 0}
        trained = train(Recipe.parse(plain), dataset)
        losses.add(loss_of(trained.parts.cut_out(trained.network, SMALLEST), dataset))
    assert len(losses) == 3


def test_interrupted_and_resumed_equals_unbroken(make_elastic, dataset, tmp_path, monkeypatch, assert_same):
    monkeypatch.setattr("nasfuse.train.progress._LONGEST_INTERVAL_S", 0.0)
    recipe, resume_file = make_elastic(epochs=3), tmp_path / "progress.pt"

    def interrupt(epoch):
        if epoch.epoch == 2:
            raise Interruption

    with pytest.raises(Interruption, match=r"^$"):
        train(recipe, dataset, report=interrupt, resume_file=resume_file)
    assert_same(train(recipe, dataset), train(recipe, dataset, resume_file=resume_file))


def test_auxiliary_losses_of_sub_networks_count(make_elastic, dataset):
    plain = make_elastic({"network.streams.s.depth": [1]}, encoders={"s": "transformer"}, fusion=None).to_plain()
    plain["network"]["streams"]["s"]["reducer"] = {"kind": "gumbel", "keep_ratio": 0.5}
    trained = train(Recipe.parse(plain), dataset)
    assert all(epoch.train_loss > 0 for epoch in trained.curve)
    part = trained.parts.at(trained.parts.smallest).network
    assert all(module.ratio_loss is None for module in part.modules() if hasattr(module, "ratio_loss"))


def test_values_that_contradict_each_other_are_told_before_the_training(make_elastic, dataset):
    recipe = make_elastic({"network.streams.s.width": [6]}, fusion="sum")  # v has the width of the fusion
    assert train(recipe, dataset).parts is not None
    with pytest.raises(InvalidInputError, match=r"elastic: the smallest .* shrink these widths together"):
        train(make_elastic({"network.streams.v.width": [4]}, fusion="sum"), dataset)
    with pytest.raises(InvalidInputError, match=r"elastic: .*streams\.s\.width: must be at least 1, got 0"):
        train(make_elastic({"network.streams.s.width": [0]}), dataset)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"elastic": {"network.streams.v.dropout": [0]}}, r"elastic\.network\.streams\.v\.dropout: cannot shrink; did"),
        ({"elastic": {"network.streams.v.width": [8]}}, "must be values below 8, the network's own, in increasing"),
        ({"elastic": {"network.streams.v.width": [4, 2]}}, r"in increasing order, got \[4, 2\]"),
        ({"elastic": {"network.streams.v.width": []}}, "must have a length of at least 1"),
        ({"elastic": {"network.streams.v.width": [4.5]}}, "must be an integer"),
        ({"elastic": {}}, r"training\.elastic: it trains sub-networks, and elastic is absent"),
        (
            {"network.router": {"routes": ["v", "v+s"]}},
            r"elastic: is not supported with network\.router; remove one of them",
        ),
        (
            {"network.fusion": {"kind": "equilibrium"}, "elastic": {"network.streams.v.width": [4]}},
            r"elastic: is not supported with network\.fusion\.kind equilibrium, whose parts need not have a fixed",
        ),
        ({"data.validation": {"folds": 3}}, r"elastic: is not supported with data\.validation; remove"),
        (
            {"training.mixup": 0.2, "training.mixup_at": "manifold"},
            r"not supported with training\.mixup_at manifold; remove",
        ),
    ],
)
def test_what_cannot_shrink_is_refused(make_elastic, changes, message):
    plain = make_elastic().to_plain()
    for path, value in changes.items():
        *parents, field = path.split(".")
        place = plain
        for key in parents:
            place = place[key]
        place[field] = value
    if "network.router" in changes:
        plain["training"]["routing"] = {}
    with pytest.raises(ConfigError, match=message):
        Recipe.parse(plain)
