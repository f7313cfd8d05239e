"""Rough estimate of the time of trainings, for searches whose budget is a time."""

import math
import statistics
from collections.abc import Mapping, Sequence

from nasfuse.data import Dataset
from nasfuse.errors import InvalidInputError
from nasfuse.experiment.space_survey import training_macs_of
from nasfuse.experiment.weightless import weightless_network
from nasfuse.nn.fixed_stem import fixed_stems
from nasfuse.nn.network import StreamNetwork
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.routing import RoutingConfig
from nasfuse.spec.study import StudyConfig
from nasfuse.train.augmentation import Augmentation
from nasfuse.train.fixed_features import can_be_kept

#: Seconds of a training whatever its network, half of them for its suggestion; of a layer in each step; and MACs
#: per second of a core. On a slow core, four fifths of 48 trainings on digits and MFNet took .8 to 1.7 times as long as
#: estimated by them, suggestions aside. A layer is a module without parts.
_START_S, _LAYER_S, _MACS_PER_SECOND = 1.5, 4e-4, 7e9
#: MACs per second of a core for fixed features, which are computed once: kernels of few taps, on many thresholds. On a
#: slow core, random convolutions of four data sets had 2e8 to 1e9.
_FIXED_MACS_PER_SECOND = 4e8
#: MACs of a training step as a multiple of those of the outputs: once forward, twice backward.
_PASSES = 3
#: Largest share of a budget in minutes that one training may take.
_LARGEST_SHARE = 1 / 3


class TimeLimit:
    """Largest time of a training of a study, by the MACs of its network.

    A budget in minutes allows trainings of at most a third of it. At least a quarter of the surveyed networks are
    allowed, however short the budget is. There is no limit without a budget in minutes, on GPUs, whose speed is not
    known, and for samplers of Optuna, which cannot be told.
    """

    def __init__(self, study: StudyConfig, dataset: Dataset, surveyed: Sequence[Recipe]) -> None:
        """Sets the limit.

        Args:
            study: Study with the budget.
            dataset: Data of the trainings.
            surveyed: Recipes of the space.
        """
        self._dataset = dataset
        self._threads = study.resources.cpus_per_trial
        self._macs: dict[tuple[str, RoutingConfig | None], int] = {}  # by network and training of its routes
        self._layers: dict[str, int] = {}  # by network
        self._of_fixed: dict[str, tuple[int, bool]] = {}  # by network
        self._seconds: float | None = None
        can_be_limited = study.sampler == "known_cost" and study.resources.gpus_per_trial == 0
        if can_be_limited and study.budget.minutes is not None:
            share = _LARGEST_SHARE * 60 * study.budget.minutes
            times = sorted(self._seconds_of(recipe) for recipe in surveyed)
            self._seconds = max(
                share, statistics.quantiles(times, n=4, method="inclusive")[0] if len(times) > 1 else times[0]
            )

    @property
    def is_set(self) -> bool:
        """Whether there is a limit."""
        return self._seconds is not None

    def seconds(self, recipe: Recipe, macs: int) -> float:
        """Returns the estimated seconds of a training.

        Args:
            recipe: Recipe of the training.
            macs: MACs per sample of its network; not used for a routed network, whose training computes several routes.
        """
        if recipe.network.router is not None:
            macs = self.macs(recipe)
        n_trainings = recipe.data.validation.n_trainings if recipe.data.validation is not None else 1
        elastic = recipe.training.elastic
        n_networks = 1 if elastic is None else 2 + elastic.n_random  # of a step, none larger than the whole one
        n_samples = len(self._dataset.train)
        fixed, are_kept = self._fixed(recipe)
        if (
            elastic is not None
            or not are_kept
            or Augmentation.from_config(recipe.training, ids=frozenset()).changes_fixed
        ):
            n_computed = recipe.training.epochs * n_samples
        else:
            n_computed = n_samples + len(self._dataset.val)
        fixed_s = fixed * n_computed / (_FIXED_MACS_PER_SECOND * self._threads)
        layers_s = math.ceil(n_samples / recipe.training.batch_size) * self._n_layers(recipe) * _LAYER_S
        macs_s = _PASSES * max(macs - fixed, 0) * n_samples / (_MACS_PER_SECOND * self._threads)
        return n_trainings * (_START_S + fixed_s + recipe.training.epochs * n_networks * (layers_s + macs_s))

    def check(self, recipe: Recipe, macs: int) -> None:
        """Checks a recipe whose network has `macs` MACs per sample.

        Raises:
            InvalidInputError: Its training would take longer than the limit.
        """
        if self._seconds is not None and self.seconds(recipe, macs) > self._seconds:
            raise InvalidInputError("a training would take more than a third of the budget in minutes")

    def above(self, recipes: Mapping[str, Recipe]) -> list[str]:
        """Returns the names of the recipes, which can be trained, that are above the limit."""
        if self._seconds is None:
            return []
        return [name for name, recipe in recipes.items() if self._seconds_of(recipe) > self._seconds]

    def _seconds_of(self, recipe: Recipe) -> float:
        return self.seconds(recipe, self.macs(recipe))

    def macs(self, recipe: Recipe) -> int:
        """Returns the MACs per sample of a training step, forwards, see `training_macs_of`."""
        key = recipe.network.model_dump_json(), recipe.training.routing
        if key not in self._macs:
            self._macs[key] = training_macs_of(recipe, self._dataset)
        return self._macs[key]

    def _fixed(self, recipe: Recipe) -> tuple[int, bool]:
        """Returns the MACs of the fixed features of a sample, and whether they can be computed once."""
        key = recipe.network.model_dump_json()
        if key not in self._of_fixed:
            network = weightless_network(recipe, self._dataset)
            stems = fixed_stems(network) if isinstance(network, StreamNetwork) else {}
            lengths = {one.name: one.shape[0] for one in self._dataset.modalities}
            macs = sum(stem.features_macs(lengths[name]) for name, stem in stems.items())
            self._of_fixed[key] = macs, not isinstance(network, StreamNetwork) or can_be_kept(network, self._dataset)
        return self._of_fixed[key]

    def _n_layers(self, recipe: Recipe) -> int:
        key = recipe.network.model_dump_json()
        if key not in self._layers:
            modules = weightless_network(recipe, self._dataset).modules()
            self._layers[key] = sum(not any(True for _ in module.children()) for module in modules)
        return self._layers[key]
