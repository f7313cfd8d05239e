"""The trained network from which trainings start (`train --init`): its weights, preprocessing and scales."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from nasfuse.data import Dataset, Scale, Table, load_table
from nasfuse.data.columns import Transform
from nasfuse.data.input_scales import with_input_scales
from nasfuse.data.sources.registry import divided
from nasfuse.data.target_scale import with_target_scale
from nasfuse.errors import InvalidInputError
from nasfuse.nn import build_network
from nasfuse.prediction import SavedNetwork, read_network
from nasfuse.spec.data import DataConfig
from nasfuse.spec.ensemble import AnyRecipe, EnsembleRecipe
from nasfuse.spec.recipe import Recipe
from nasfuse.tasks import task_kind
from nasfuse.train.initial_weights import InitialWeights


@dataclass(frozen=True)
class StartingPoint:
    """A trained network from which trainings of other recipes, or on other data, start.

    Weights expect inputs as they were in their training. A modality that has the same description in both recipes
    therefore keeps the vocabulary, the categories, the medians and so on of the network, and the scales of its numbers;
    targets of the same meaning keep their scale. Everything else is fitted to the new data.

    Attributes:
        saved: The network.
        fingerprint: Hash of its file (12 hexadecimal digits), followed by the operating point unless it is 0.
    """

    saved: SavedNetwork
    fingerprint: str
    _tables: dict[str, Table] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, path: Path, *, point: int = 0) -> "StartingPoint":
        """Returns the network in a `model.pt` at an operating point, which may be a sub-network of an elastic one.

        Raises:
            MissingFileError: The file does not exist.
            CheckpointError: The file is damaged, of another version, or no trained network.
            InvalidInputError: The path is a folder, the network is an ensemble, or it has no such point.
        """
        saved = read_network(path, point=point, device=torch.device("cpu"))
        if isinstance(saved.recipe, EnsembleRecipe):
            raise InvalidInputError(
                f"--init: {path} is an ensemble, and a training starts from one network; name the model.pt of a member"
            )
        fingerprint = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        return cls(saved, f"{fingerprint}-{point}" if point else fingerprint)

    def dataset(self, config: DataConfig, *, division: int | None) -> Dataset:
        """Returns the data of a training that starts from the network. For `division` see `registry.divided`.

        Raises:
            MissingFileError: The data do not exist.
            DataError: The data violate the data format.
        """
        key = config.model_dump_json()
        if key not in self._tables:
            self._tables[key] = load_table(config, transforms=self._transforms(config))
        dataset = divided(self._tables[key], config, division=division)
        dataset = with_input_scales(dataset, self._scales(config, dataset))
        return with_target_scale(dataset, self.saved.target_scale) if self._has_targets_of(config, dataset) else dataset

    def weights(self, config: DataConfig, dataset: Dataset) -> InitialWeights:
        """Returns the weights, for a network of `dataset`."""
        return InitialWeights(
            origin=str(self.saved.path),
            fingerprint=self.fingerprint,
            state=self.saved.network.state_dict(),
            has_same_outputs=self._has_targets_of(config, dataset),
        )

    def summary(self, recipe: AnyRecipe, dataset: Dataset) -> str:
        """Returns what a training of `recipe` takes from the network, in two sentences.

        Raises:
            InvalidInputError: The recipe is an ensemble, or no weight agrees.
        """
        if not isinstance(recipe, Recipe):
            raise InvalidInputError("--init: an ensemble has several networks; train its members one by one")
        network = build_network(recipe.network, dataset.modalities, dataset.task)
        scaled = self._scales(recipe.data, dataset)
        same = [name for name in self._same(recipe.data) if name in scaled or name not in dataset.scales]
        kept = [name for name in network.stream_names if name in same]
        own = [name for name in network.stream_names if name not in same]
        parts = [f"that of {', '.join(kept)} is kept"] if kept else []
        parts += [f"that of {', '.join(own)} is fitted to these data"] if own else []
        return f"{self.weights(recipe.data, dataset).summary(network)}. Of the preprocessing, {' and '.join(parts)}"

    def _same(self, config: DataConfig) -> tuple[str, ...]:
        """Returns the modalities with the same description in the recipe of the network and in `config`.

        Those of shipped data sets have no description there; they are the same if their names are.
        """
        before, now = self.saved.recipe.data.modalities, config.modalities
        return tuple(one.name for one in self.saved.modalities if before.get(one.name) == now.get(one.name))

    def _transforms(self, config: DataConfig) -> Mapping[str, Transform]:
        known = self.saved.preprocessing.transforms
        return {name: known[name] for name in self._same(config) if name in known}

    def _scales(self, config: DataConfig, dataset: Dataset) -> Mapping[str, Scale]:
        """Returns the scales of the network for modalities of the same description and number of features."""
        before, now = self.saved.scales, dataset.scales
        shared = [name for name in self._same(config) if name in before and name in now]
        return {name: before[name] for name in shared if before[name].mean.shape == now[name].mean.shape}

    def _has_targets_of(self, config: DataConfig, dataset: Dataset) -> bool:
        """Returns whether outputs of the network mean what the targets of `dataset` are."""
        saved = self.saved
        if (saved.task, saved.class_names) != (dataset.task, dataset.class_names):
            return False
        return not task_kind(saved.task.kind).is_standardised or saved.recipe.data.target == config.target
