"""What is checked before the first step of a training, and by a search before the first training."""

import re

import pytest
import torch

from nasfuse.errors import InvalidInputError
from nasfuse.nn import build_network
from nasfuse.spec.recipe import Recipe
from nasfuse.train import check_network, check_training, train_network
from tests.train.dense import dense_dataset

ROUTER = {"routes": ["v", "v+s"], "macs": 1}


def check(recipe, dataset):
    """Both checks, as a search makes them: with shapes alone."""
    check_training(recipe, dataset)
    with torch.device("meta"):
        network = build_network(recipe.network, dataset.modalities, dataset.task)
    check_network(recipe, network, dataset)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoders": {"v": "mlp", "q": "transformer"}, "mixup": 0.2}, "training.mixup: token ids cannot be averaged"),
        ({"router": ROUTER}, r"network\.router\.macs: 1 is below the \d+ MACs of the cheapest route alone"),
        ({"metric": "r2"}, "metric: r2 does not apply to a multiclass task"),
    ],
)
def test_a_search_sees_what_a_training_would_raise(make_recipe, dataset, changes, message):
    recipe = make_recipe(**changes)
    with pytest.raises(InvalidInputError, match=message):
        check(recipe, dataset)
    with pytest.raises(InvalidInputError, match=message):
        train_network(recipe, dataset, seed=0, device=torch.device("cpu"))


def with_data(recipe, **data):
    plain = recipe.to_plain()
    return Recipe.parse({**plain, "data": {**plain["data"], **data}})


@pytest.mark.parametrize(
    ("aligned", "message"),
    [
        (["i", "j"], r"^data\.aligned: 'j' is no modality of the data; Known: i, q, s, v$"),
        (["i", "s"], r"^data\.aligned: s is a sequence, and only images are aligned; remove it$"),
    ],
)
def test_only_images_of_the_data_are_aligned(make_recipe, dataset, aligned, message):
    with pytest.raises(InvalidInputError, match=message):
        check_training(with_data(make_recipe(), aligned=aligned), dataset)


@pytest.mark.parametrize(("field", "value"), [("shift", 0.1), ("flip", 0.5), ("scale", 1.4)])
def test_labels_of_pixels_move_with_all_images_or_none(make_recipe, field, value):
    dense, labels = dense_dataset(), {"task": "segmentation"}
    still = make_recipe(encoders={"a": "conv"}, fusion=None, metric="miou")
    recipe = make_recipe(encoders={"a": "conv"}, fusion=None, metric="miou", **{field: value})
    with pytest.raises(InvalidInputError, match=rf"^training\.{field}: labels of pixels must move .*, and a is not"):
        check_training(with_data(recipe, aligned=["b"], **labels), dense)
    check_training(with_data(recipe, aligned=["a", "b"], **labels), dense)
    check_training(with_data(still, **labels), dense)


@pytest.mark.parametrize(
    "changes",
    [
        {"mixup": 0.2},
        {"encoders": {"v": "mlp", "q": "transformer"}, "mixup": 0.2, "mixup_at": "manifold"},
        {"router": {**ROUTER, "macs": 10**9}},
        {"batch_size": 10**6},
    ],
)
def test_what_can_be_trained_passes(make_recipe, dataset, changes):
    check(make_recipe(**changes), dataset)


def test_the_least_macs_of_a_router_are_those_of_one_step(make_recipe, dataset):
    """An exported point has the MACs of the steps that were taken, which may be fewer than those of the cap."""
    router = {"routes": ["v", "v+s:1"], "macs": 10**9}
    recipe = make_recipe(encoders={"v": "mlp", "s": "mlp"}, fusion="equilibrium", router=router)
    plain = recipe.to_plain()
    plain["network"]["fusion"] |= {"gradient": "implicit", "max_steps": 16}
    plain["network"]["router"]["routes"] = ["v+s:1", "v+s"]
    plain["network"]["fusion"]["placement"] = 2

    def least(max_steps):
        plain["network"]["fusion"]["max_steps"] = max_steps
        plain["network"]["router"]["macs"] = 1
        with pytest.raises(InvalidInputError, match="MACs of the cheapest route alone") as caught:
            check(Recipe.parse(plain), dataset)
        return re.search(r"below the (\d+) MACs", str(caught.value))[1]

    assert least(16) == least(1)
