"""Networks from the checkpoints of `train` and of searches, at any of their operating points."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from nasfuse.data import Dataset
from nasfuse.errors import CheckpointError, DataError, InvalidInputError
from nasfuse.experiment.objective import cached_dataset
from nasfuse.experiment.trained_data import load_scaled
from nasfuse.nn import Network, RoutedNetwork, build_network
from nasfuse.nn.knob import set_knobs
from nasfuse.spec.data_source import located
from nasfuse.spec.ensemble import AnyRecipe, parse_recipe
from nasfuse.train import load_checkpoint
from nasfuse.train.sweep import set_network


@dataclass(frozen=True)
class SavedNetwork:
    """A network from a checkpoint, at one of its operating points.

    Attributes:
        network: Network in evaluation mode.
        recipe: Recipe of the network.
        dataset: Data with the division into train and val and the standardisation of the training.
        source: Data set or file from which `dataset` was read.
        trained_on: Fingerprint of the training data.
        settings: Settings of all knobs at the operating point.
        val_metric: Metric on validation data at the end of the training, with the network's own settings; None
            without validation data.
    """

    network: Network
    recipe: AnyRecipe
    dataset: Dataset
    source: str
    trained_on: str
    settings: dict[str, float]
    val_metric: float | None


def load_network(path: Path, *, point: int = 0, device: torch.device, source: str | None = None) -> SavedNetwork:
    """Returns the network in a checkpoint.

    All knobs are set as the checkpoint has them for the operating point, which takes precedence over the recipe.

    Args:
        path: A `model.pt` of `train` or of a search.
        point: Index of the operating point; 0 is the network's own setting.
        device: Device of the network.
        source: Data set or file that replaces the one in the checkpoint, with the same modalities.

    Raises:
        MissingFileError: The checkpoint or the data do not exist.
        CheckpointError: The checkpoint is damaged, or its weights do not match its recipe.
        DataError: The data violate the data contract.
        InvalidInputError: The checkpoint has no such point, or the point cannot be used with other data.
    """
    content = load_checkpoint(path)
    if not content.keys() >= {"recipe", "network", "val_metric", "division", "points", "data_fingerprint"}:
        raise CheckpointError(f"{path} is no trained network; name a model.pt that `train` or a search wrote")
    recipe = parse_recipe(located(content["recipe"], named_in=path), source=str(path))
    data = recipe.data if source is None else recipe.data.at(source)
    dataset = cached_dataset(data.model_dump_json(), content["division"]) if data == recipe.data else None
    if dataset is None or dataset.fingerprint != content["data_fingerprint"]:  # the same data have the same scales
        dataset = load_scaled(data, content, division=content["division"])
    network = build_network(recipe.network, dataset.modalities, dataset.task)
    if dataset.fingerprint != content["data_fingerprint"]:
        _check_outputs(content, path, dataset, source=data.source)
    try:
        network.load_state_dict(content["network"])
    except RuntimeError as error:
        raise CheckpointError(
            f"the weights in {path} fit neither its recipe nor the data at {data.source}; train the recipe again"
        ) from error
    points = content["points"]
    if not 0 <= point < len(points):
        raise InvalidInputError(
            f"{path} has the operating points 0 to {len(points) - 1}, got {point}; name one of them"
        )
    swept = {name for name, value in points[point].items() if name != "threshold" and value != points[0].get(name)}
    if swept and isinstance(network, RoutedNetwork) and dataset.fingerprint != content["data_fingerprint"]:
        raise InvalidInputError(
            f"point {point} of {path} has a router that is calibrated on the validation data of its training, and "
            f"{data.source} holds other data; choose point 0, or the data of the training"
        )
    network.to(device).eval()
    set_knobs(network.knobs(), points[0])
    set_network(network, points[point], dataset, metric=recipe.metric, device=device)
    return SavedNetwork(
        network,
        recipe,
        dataset,
        source=data.source,
        trained_on=content["data_fingerprint"],
        settings=points[point],
        val_metric=content["val_metric"],
    )


def _check_outputs(content: Mapping[str, Any], path: Path, dataset: Dataset, *, source: str) -> None:
    """Checks that other data than those of the training have the same classes, labels or numbers to predict.

    Raises:
        DataError: They have not; the message names the classes that differ.
    """
    heads = [weights for name, weights in content["network"].items() if name.endswith("head.out.weight")]
    n_trained, n_here = len(heads[0]), dataset.task.n_outputs
    known, here = content.get("class_names") or (), dataset.class_names
    if known and here and set(known) != set(here):
        missing, unknown = sorted(set(known) - set(here)), sorted(set(here) - set(known))
        differ = [f"no sample of {', '.join(missing)}"] * bool(missing) + [f"new {', '.join(unknown)}"] * bool(unknown)
        raise DataError(
            f"{source} has other classes than the network in {path} was trained for ({'; '.join(differ)}); evaluate it "
            "on data with the same classes"
        )
    if n_here == n_trained:
        return
    names = [f"{number} ({known[number]})" if known else str(number) for number in range(n_here, n_trained)]
    which = f" (no sample has class {', '.join(names)})" if names and dataset.val.targets.dtype == torch.int64 else ""
    raise DataError(
        f"{source} has {n_here} outputs{which}, and the network in {path} was trained for {n_trained}; evaluate it on "
        "data with the same classes, labels or targets"
    )
