"""Saved networks: the content of a `model.pt`, which is written after a training and read without any data."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from numbers import Integral
from pathlib import Path

import torch
from torch import Tensor

from nasfuse import __version__
from nasfuse.data import Dataset, Scale
from nasfuse.data.preprocessing import Preprocessing
from nasfuse.domain.knob import parted
from nasfuse.domain.modality import Modality, Task
from nasfuse.domain.operating_point import OperatingPoint
from nasfuse.errors import CheckpointError, InvalidInputError, MissingFileError
from nasfuse.nn import Network, RoutedNetwork, build_network
from nasfuse.nn.elastic import cut_out
from nasfuse.nn.knob import set_knobs, settings_of
from nasfuse.nn.network import StreamNetwork
from nasfuse.spec.ensemble import AnyRecipe, parse_recipe
from nasfuse.spec.recipe import Recipe
from nasfuse.train import Trained, load_checkpoint, save_checkpoint
from nasfuse.train.sweep import set_network

#: Keys that the file of a trained network has and the file of an unfinished training has not.
_REQUIRED = {"recipe", "network", "points", "modalities", "content_fingerprint"}

#: Where networks are in the folders of a training, of repeated trainings and of a search.
_IN_FOLDERS = ("model.pt", "fold*/model.pt", "seed*/model.pt", "trials/*/model.pt", "trials/*/fold*/model.pt")


@dataclass(frozen=True)
class SavedNetwork:
    """A trained network at one of its operating points, and what it needs to know of its training data.

    Attributes:
        path: File of the network.
        network: Network in evaluation mode.
        recipe: Recipe of the network, with the data source as it was named in the training; that of a sub-network of an
            elastic network is the smaller recipe, in which nothing is elastic.
        seed: Seed of the training.
        division: Index of the division of the data into train and val; see `nasfuse.data.sources.registry.divided`.
        modalities: Modalities of the training data.
        task: Task of the training data.
        class_names: Names of classes or labels; empty if they have only numbers.
        scales: Scales of the numbers of each modality, float64; token ids have none.
        units: Scales from the numbers of each modality to those that are stored in memory, float64.
        stored_scales: Scales of the stored numbers, float32. Numbers are standardised in these two steps, so that
            samples are the same to the last bit as in the training.
        target_scale: Scale of regression targets; None for other tasks.
        preprocessing: How raw columns become the modalities.
        settings: Settings of all knobs at each operating point; the first point is the network's own.
        point: Index of the operating point at which `network` is.
        data_fingerprint: Fingerprint of the training data with their division.
        content_fingerprint: Fingerprint of the training data without the division.
        val_metric: Metric on validation data at the end of the training, at operating point 0; None without them.
        test_metric: Metric on the test split at operating point 0; None if it has not been evaluated.
        version: Version of nasfuse that trained the network.
    """

    path: Path
    network: Network
    recipe: AnyRecipe
    seed: int
    division: int | None
    modalities: tuple[Modality, ...]
    task: Task
    class_names: tuple[str, ...]
    scales: Mapping[str, Scale]
    units: Mapping[str, Scale]
    stored_scales: Mapping[str, Scale]
    target_scale: Scale | None
    preprocessing: Preprocessing
    settings: tuple[dict[str, float], ...]
    point: int
    data_fingerprint: str
    content_fingerprint: str
    val_metric: float | None
    test_metric: float | None
    version: str

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs: those of the classes or labels, or their numbers."""
        return self.class_names or tuple(str(number) for number in range(self.task.n_outputs))

    @property
    def route_names(self) -> tuple[str, ...]:
        """Names of the routes, cheapest first; empty for a static network."""
        return self.network.route_names if isinstance(self.network, RoutedNetwork) else ()

    @property
    def can_be_absent(self) -> frozenset[str]:
        """Names of modalities that rows may lack.

        The network has a placeholder for them, or samples of the training lacked them and the network does not read
        them.
        """
        return self.network.placeholders.union(one.name for one in self.modalities if one.can_be_absent)

    @property
    def inputs(self) -> dict[str, Modality]:
        """Modalities that the network reads, by name."""
        return {modality.name: modality for modality in self.modalities if modality.name in self.network.stream_names}


def save_network(
    path: Path,
    trained: Trained,
    recipe: AnyRecipe,
    dataset: Dataset,
    *,
    seed: int,
    division: int | None,
    points: Sequence[OperatingPoint] = (),
    test_metric: float | None = None,
) -> None:
    """Writes a trained network with everything that predictions need.

    Args:
        path: File to write.
        trained: Network to write, at its own settings.
        recipe: Recipe of the network.
        dataset: Training data, of which the description and the scales are written.
        seed: Seed of the training.
        division: Index of the division of the data into train and val.
        points: Measured operating points, of which the first is the network's own; none if it was not swept.
        test_metric: Metric on the test split, if it has been evaluated.
    """
    network = trained.network
    own = settings_of(network.knobs())
    scale = dataset.target_scale
    columns = dataset.train.columns
    content = {
        "nasfuse": __version__,
        "recipe": recipe.to_plain(),
        "seed": seed,
        "division": division,
        "modalities": [asdict(modality) for modality in dataset.modalities],
        "task": asdict(dataset.task),
        "class_names": list(dataset.class_names),
        "scales": {name: vars(scale) for name, scale in dataset.scales.items()},
        "units": {name: vars(unit) for name, unit in dataset.units.items()},
        "stored_scales": {name: vars(one.scale) for name, one in columns.items() if one.scale is not None},
        "target_scale": None if scale is None else vars(scale),
        "preprocessing": dataset.preprocessing.state(),
        "data_fingerprint": dataset.fingerprint,
        "content_fingerprint": dataset.content_fingerprint,
        "val_metric": trained.chosen.val_metric,
        "test_metric": test_metric,
        "points": [own, *(_settings(point, own) for point in points[1:])],
        "calibrations": network.kept_calibrations() if isinstance(network, RoutedNetwork) else [],
        "network": {key: value.cpu() for key, value in network.state_dict().items()},
    }
    save_checkpoint(path, content)


def _settings(point: OperatingPoint, own: Mapping[str, float]) -> dict[str, float]:
    """Returns the settings of all knobs at a point; those of a sub-network are as its recipe has them."""
    return dict(point.settings) if parted(point.settings)[0] else {**own, **point.settings}


def read_network(path: Path, *, point: int = 0, device: torch.device) -> SavedNetwork:
    """Returns the network in a file, at an operating point.

    Knobs are set as the file has them for the point, which takes precedence over the recipe.

    Args:
        path: A `model.pt` of `train` or of a search.
        point: Index of the operating point; 0 is the network's own setting.
        device: Device of the network.

    Raises:
        MissingFileError: The file does not exist.
        CheckpointError: The file is damaged or of another version, or its weights do not match its recipe.
        ConfigError: The recipe in the file is invalid.
        InvalidInputError: The path is a folder, or the network has no such point.
    """
    _check_path(path)
    content = load_checkpoint(path)
    if not content.keys() >= _REQUIRED:
        raise CheckpointError(f"{path} is no trained network; name a model.pt that `train` or a search wrote")
    recipe = parse_recipe(content["recipe"], source=str(path))
    modalities = tuple(
        Modality(**{**modality, "shape": tuple(modality["shape"])}) for modality in content["modalities"]
    )
    task = Task(**content["task"])
    settings = tuple(content["points"])
    if not isinstance(point, Integral) or not 0 <= point < len(settings):
        raise InvalidInputError(
            f"{path} has the operating points 0 to {len(settings) - 1}, got {point!r}; name one of them"
        )
    network = build_network(recipe.network, modalities, task, drops=recipe.drops_modalities)
    try:
        network.load_state_dict(content["network"])
    except RuntimeError as error:
        raise CheckpointError(f"the weights in {path} do not fit its recipe; train the recipe again") from error
    if isinstance(network, RoutedNetwork):
        network.load_calibrations(content["calibrations"])
    network.to(device).eval()
    set_knobs(network.knobs(), settings[0])
    elastic, others = parted(settings[point])
    if elastic:
        assert isinstance(recipe, Recipe) and isinstance(network, StreamNetwork), "ensembles have no elastic members"
        drops = recipe.drops_modalities
        network = cut_out(network, recipe.network, elastic, modalities, task, drops=drops)
        recipe = recipe.smaller(elastic)
    set_network(network, others)
    return SavedNetwork(
        path=path,
        network=network,
        recipe=recipe,
        seed=content["seed"],
        division=content["division"],
        modalities=modalities,
        task=task,
        class_names=tuple(content["class_names"]),
        scales=_scales(content["scales"]),
        units=_scales(content["units"]),
        stored_scales=_scales(content["stored_scales"]),
        target_scale=None if content["target_scale"] is None else Scale(**content["target_scale"]),
        preprocessing=Preprocessing.from_state(content["preprocessing"]),
        settings=settings,
        point=point,
        data_fingerprint=content["data_fingerprint"],
        content_fingerprint=content["content_fingerprint"],
        val_metric=content["val_metric"],
        test_metric=content["test_metric"],
        version=content["nasfuse"],
    )


def _check_path(path: Path) -> None:
    """Checks that `path` is neither a folder nor the missing network of a cross-validated training."""
    if path.is_dir():
        found = next((file for pattern in _IN_FOLDERS for file in sorted(path.glob(pattern))), None)
        example = f", for example {found}" if found is not None else ""
        raise InvalidInputError(
            f"{path} is a folder, and a network is a file; name a model.pt that `train` or a search wrote{example}"
        )
    folds = len(list(path.parent.glob("fold*/model.pt")))
    if not path.exists() and folds:
        raise MissingFileError(
            f"there is no {path}, because this training was cross-validated and has a network for each of {folds} "
            f"folds ({path.parent}/fold0/model.pt ...), which has only point 0; name one of them, or export the point "
            "(`export RUN --trial N:P`) and train it, or let `predict RUN` average the folds of a point of the front"
        )


def _scales(plain: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Scale]:
    return {name: Scale(**scale) for name, scale in plain.items()}
