"""Checks before the first step of a training, and before the first training of a search."""

from dataclasses import replace

from nasfuse.cost.network_macs import expected_macs
from nasfuse.data.dataset import Dataset
from nasfuse.domain.metric import get_metric
from nasfuse.domain.task import TASKS
from nasfuse.errors import InvalidInputError, nearest
from nasfuse.nn.equilibrium import equilibrium_layers
from nasfuse.nn.network import Network
from nasfuse.spec.recipe import Recipe
from nasfuse.train.augmentation import Augmentation

#: Why a network with a router cannot be cross-validated.
ROUTER_WITH_FOLDS = (
    "network.router: a router is set on validation data, and the final training after a cross-validation "
    "(data.validation, or `train --refit`) has none; remove one of them"
)


def check_training(recipe: Recipe, dataset: Dataset) -> None:
    """Checks the metric, the augmentation of the inputs, and cross-validation, which need no network.

    Raises:
        InvalidInputError: The metric is not defined for the task, the augmentation is not possible for the inputs or
            would move images of a dense task without their labels, or a network with a router is to be cross-validated.
    """
    get_metric(recipe.metric, dataset.task.kind)
    if recipe.data.validation is not None and recipe.network.router is not None:
        raise InvalidInputError(ROUTER_WITH_FOLDS)
    _check_alignment(recipe, dataset)
    Augmentation.from_config(recipe.training, ids=token_ids(recipe, dataset))


def _check_alignment(recipe: Recipe, dataset: Dataset) -> None:
    kinds = {modality.name: modality.kind for modality in dataset.modalities}
    aligned, training = recipe.data.aligned, recipe.training
    for name in aligned:
        if name not in kinds:
            raise InvalidInputError(f"data.aligned: {name!r} is no modality of the data; {nearest(name, kinds)}")
        if kinds[name] != "image":
            raise InvalidInputError(f"data.aligned: {name} is a {kinds[name]}, and only images are aligned; remove it")
    if not TASKS[dataset.task.kind].is_dense:
        return
    on = {"shift": training.shift > 0, "flip": training.flip > 0, "scale": training.scale > 1}
    alone = [name for name in recipe.network.route if kinds.get(name) == "image" and name not in aligned]
    if alone and any(on.values()):
        moved = next(name for name, is_on in on.items() if is_on)
        raise InvalidInputError(
            f"training.{moved}: labels of pixels must move with their images, and {alone[0]} is not in data.aligned; "
            "name it there if it is registered with the labels, or remove the augmentation"
        )


def check_network(recipe: Recipe, network: Network, dataset: Dataset) -> None:
    """Checks the limit on a router's MACs against the cheapest route.

    Args:
        recipe: Recipe of the training.
        network: Network of the recipe, on any device.
        dataset: Data of the training.

    Raises:
        InvalidInputError: The limit is below the MACs of the cheapest route.
    """
    limit = recipe.network.router.macs if recipe.network.router is not None else None
    if limit is None:
        return
    least = _least_macs(network, dataset)
    if limit < least:
        raise InvalidInputError(
            f"network.router.macs: {limit} is below the {least} MACs of the cheapest route alone; raise it"
        )


def _least_macs(network: Network, dataset: Dataset) -> int:
    """Returns the MACs of the cheapest route if every fixed point is found in one step."""
    layers = [layer for layer in equilibrium_layers(network) if layer.gradient.kind != "unroll"]
    rules = [layer.inference_rule for layer in layers]
    try:
        for layer, rule in zip(layers, rules, strict=True):
            layer.inference_rule = replace(rule, max_steps=1)
        return expected_macs(network, dataset)
    finally:
        for layer, rule in zip(layers, rules, strict=True):
            layer.inference_rule = rule


def token_ids(recipe: Recipe, dataset: Dataset) -> frozenset[str]:
    """Returns the streams of a recipe whose inputs are token ids."""
    return frozenset(m.name for m in dataset.modalities if m.vocabulary is not None and m.name in recipe.network.route)
