"""Networks from checkpoints: what `train` and a search saved, at any of its operating points."""

from dataclasses import dataclass
from pathlib import Path

import torch

from nasfuse.config.recipe import Recipe
from nasfuse.data import Dataset
from nasfuse.errors import CheckpointError, InvalidInputError
from nasfuse.experiment.objective import cached_dataset
from nasfuse.nn import Network, build_network
from nasfuse.nn.knob import set_knobs
from nasfuse.train import load_checkpoint
from nasfuse.train.sweep import set_network


@dataclass(frozen=True)
class SavedNetwork:
    """A network from a checkpoint, at one of its operating points.

    Attributes:
        network: In inference mode.
        recipe: It was built from.
        dataset: It was trained on, with its division into train and val.
        settings: Of every knob, at the operating point.
        val_metric: At the end of its training, at its own setting.
    """

    network: Network
    recipe: Recipe
    dataset: Dataset
    settings: dict[str, float]
    val_metric: float


def load_network(path: Path, *, point: int = 0, device: torch.device) -> SavedNetwork:
    """Returns the network that a training saved.

    Every knob has the setting that the checkpoint holds for the operating point, whatever the recipe says.

    Args:
        path: A `model.pt` of `train` or of a search.
        point: Number of the operating point; 0 is the network's own setting.
        device: To put it on.

    Raises:
        MissingFileError: No such file.
        CheckpointError: Damaged, or its weights do not fit its recipe.
        InvalidInputError: It has no such point.
    """
    content = load_checkpoint(path)
    if not content.keys() >= {"recipe", "network", "val_metric", "cut", "points"}:
        raise CheckpointError(f"{path} is no trained network; name a model.pt that `train` or a search wrote")
    recipe = Recipe.parse(content["recipe"], source=str(path))
    dataset: Dataset = cached_dataset(recipe.data.model_dump_json(), content["cut"])
    network = build_network(recipe.network, dataset.modalities, dataset.task)
    try:
        network.load_state_dict(content["network"])
    except RuntimeError as error:
        raise CheckpointError(f"the weights in {path} do not fit its recipe; train the recipe again") from error
    points = content["points"]
    if not 0 <= point < len(points):
        raise InvalidInputError(
            f"{path} has the operating points 0 to {len(points) - 1}, got {point}; name one of them"
        )
    network.to(device).eval()
    set_knobs(network.knobs(), points[0])
    set_network(network, points[point], dataset, metric=recipe.metric, device=device)
    return SavedNetwork(network, recipe, dataset, points[point], content["val_metric"])
