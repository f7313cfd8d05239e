"""Settings of a recipe without effect on its data and network, of which the user is warned."""

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from nasfuse.data import Dataset
from nasfuse.domain.loss import LOSS_OPTIONS, get_loss
from nasfuse.domain.modality import Modality
from nasfuse.domain.readout import parse_readout
from nasfuse.errors import DataWarning, listed
from nasfuse.spec.data_source import SHIPPED_SOURCES
from nasfuse.spec.fusion import EquilibriumFusion
from nasfuse.spec.recipe import Recipe
from nasfuse.spec.reducer import GumbelReducer
from nasfuse.spec.schema.model import Model
from nasfuse.spec.sites import ALL_OPTIONS, SitesConfigBase, SitesFusion
from nasfuse.spec.stream import LinearStream, RandomConvStream, TransformerStream


def idle_settings(recipe: Recipe, dataset: Dataset) -> dict[str, str]:
    """Returns the settings of `recipe` without effect, as a mapping from key to reason.

    Only settings that are switched on or differ from their default are included. What shipped spaces set for all of
    their networks is not: a `training.patience` with cross-validation, and noise and shifts where some inputs are
    fixed features.
    """
    rules = (_of_data, _of_streams, _of_augmentation, _of_training, _of_sites, _of_equilibrium)
    return dict(pair for rule in rules for pair in rule(recipe, dataset))


#: Settings that shipped spaces draw or set also for networks in which they have no effect.
_OF_SPACES = frozenset({"network.dropout", "training.shift", "training.mixup_at"})


def warn_of_idle_settings(recipes: Iterable[Recipe], dataset: Dataset, *, may_be_exported: bool = False) -> None:
    """Warns of settings without effect in all of `recipes`.

    Args:
        recipes: Members of one recipe, or draws from a search space.
        dataset: Their data.
        may_be_exported: Whether a search may have set what has no effect; these settings give no warning then, as
            the recipe of a point must stay as it was searched.
    """
    found = [idle_settings(recipe, dataset) for recipe in recipes]
    for key, reason in found[0].items() if found else ():
        if may_be_exported and key in _OF_SPACES:
            continue
        if all(key in other for other in found):
            warnings.warn(f"{key} has no effect: {reason}; remove it", DataWarning, stacklevel=2)


def warn_of_idle_elastic(elastic: Mapping[str, Any], recipes: Iterable[Recipe]) -> None:
    """Warns of what a space makes elastic and is not in any of `recipes`, which were drawn from it.

    A field is elastic in networks that have it, with the values below its own. Data of one modality have no fusion, for
    which a space may be written all the same.
    """
    found = list(recipes)
    used = {(path, value) for recipe in found for path, values in recipe.elastic.items() for value in values}
    for key, values in elastic.items():
        if key.startswith("network.fusion.") and all(recipe.network.fusion is None for recipe in found):
            continue
        pattern = re.compile(re.escape(key).replace(r"\*", "[^.]+"))
        reached = {value for path, value in used if pattern.fullmatch(path)}
        idle = listed(str(value) for value in values if value not in reached)
        if idle:
            reason = "no network that was drawn has the field with a larger value"
            warnings.warn(f"elastic.{key}: {idle} has no effect: {reason}; remove it", DataWarning, stacklevel=2)


@contextmanager
def data_warnings_once(*, told: bool) -> Iterator[None]:
    """Hides warnings about data and settings inside the block if an earlier command has told them (`told`)."""
    with warnings.catch_warnings():
        if told:
            warnings.simplefilter("ignore", DataWarning)
        yield


def _of_data(recipe: Recipe, dataset: Dataset) -> Iterator[tuple[str, str]]:
    if recipe.data.source in SHIPPED_SOURCES:
        for name in type(recipe.data).model_fields:
            # metrics are checked with the task
            if name not in ("source", "task", "validation", "aligned") and _is_changed(recipe.data, name):
                yield f"data.{name}", f"the data set {recipe.data.source} is shipped and describes itself"
    elif recipe.data.validation is not None and _is_changed(recipe.data, "val_fraction"):
        yield "data.val_fraction", "data.validation divides train and val into folds"


def _of_streams(recipe: Recipe, dataset: Dataset) -> Iterator[tuple[str, str]]:
    network, fusion = recipe.network, recipe.network.fusion
    for name, stream in network.streams.items():
        if isinstance(stream, RandomConvStream) and network.depths[name] == 0:
            for field in ("width", "expansion", "dropout"):
                if _is_changed(stream, field):
                    yield f"network.streams.{name}.{field}", "the stream runs no stage on its features"
        readout = parse_readout(getattr(stream, "readout", "mean"))
        if fusion is not None and fusion.reads_tokens and network.router is None and set(readout) - {"mean", "cls"}:
            yield f"network.streams.{name}.readout", f"{fusion.kind} fusion reads the tokens of a stream"
        if network.main not in (None, name) and readout != ("mean",):
            yield f"network.streams.{name}.readout", f"the main stream {network.main} reads the tokens of the stream"


def _of_augmentation(recipe: Recipe, dataset: Dataset) -> Iterator[tuple[str, str]]:
    training = recipe.training
    modalities = [modality for modality in dataset.modalities if modality.name in recipe.network.route]
    numbers = [modality for modality in modalities if modality.vocabulary is None]
    if training.shift > 0 and not any(_can_be_shifted(one, dataset, training.shift) for one in numbers):
        yield (
            "training.shift",
            f"no modality of the network is an image or a sequence without lengths that {training.shift:g} of its size "
            "moves by a step",
        )
    for name, is_on in (("flip", training.flip > 0), ("scale", training.scale > 1), ("jitter", training.jitter > 0)):
        if is_on and not any(modality.kind == "image" for modality in modalities):
            yield f"training.{name}", "no modality of the network is an image"
    if training.input_noise > 0 and not numbers:
        yield "training.input_noise", "the network reads token ids alone, which get no noise"
    if training.modality_dropout > 0 and len(modalities) < 2:
        yield "training.modality_dropout", "the network has one stream, which is never lost"
    if training.mixup_at == "manifold" and training.mixup == 0:
        yield "training.mixup_at", "training.mixup is 0, so nothing is mixed"


def _can_be_shifted(modality: Modality, dataset: Dataset, share: float) -> bool:
    if modality.kind == "vector" or dataset.train.lengths(modality.name) is not None:
        return False
    sizes = modality.shape[1:] if modality.kind == "image" else modality.shape[:1]
    return any(round(share * size) > 0 for size in sizes)


def _of_training(recipe: Recipe, dataset: Dataset) -> Iterator[tuple[str, str]]:
    training, streams = recipe.training, recipe.network.streams.values()
    learned = any(
        isinstance(stream, TransformerStream) and isinstance(stream.reducer, GumbelReducer) for stream in streams
    )
    if _is_changed(training, "ratio_weight") and not learned:
        yield "training.ratio_weight", "no stream has a gumbel reducer"
    if training.stream_loss > 0 and recipe.network.fusion is None:
        yield "training.stream_loss", "the network has one stream, whose loss is that of the network"
    loss = get_loss(training.loss, recipe.data.task)
    for name in LOSS_OPTIONS:
        if _is_changed(training, name) and name not in loss.options:
            yield f"training.{name}", f"the loss {loss.name} has no such option"
    has_head = (
        not all(isinstance(stream, LinearStream) for stream in streams) or recipe.network.linear_width is not None
    )
    if recipe.network.dropout > 0 and not has_head:
        yield "network.dropout", "linear streams without another fusion than late have no head; use their own dropout"
    routing = training.routing
    if routing is not None and routing.budget is not None and routing.resource_weight == 0:
        yield "training.routing.budget", "training.routing.resource_weight is 0"
    term = training.equilibrium
    if term is not None and term.jacobian_weight == 0 and _is_changed(term, "jacobian_frequency"):
        yield "training.equilibrium.jacobian_frequency", "training.equilibrium.jacobian_weight is 0"


def _of_sites(recipe: Recipe, dataset: Dataset) -> Iterator[tuple[str, str]]:
    fusion = recipe.network.fusion
    if isinstance(fusion, SitesConfigBase) and fusion.sites is not None:
        for name in ("n_sites", "position"):
            if _is_changed(fusion, name):
                yield f"network.fusion.{name}", "network.fusion.sites gives the sites one by one"
    if isinstance(fusion, SitesFusion):
        for name in ALL_OPTIONS:
            if name not in fusion.options_in_use and _is_changed(fusion, name):
                yield f"network.fusion.{name}", f"the operator {fusion.operator} has no such option"


def _of_equilibrium(recipe: Recipe, dataset: Dataset) -> Iterator[tuple[str, str]]:
    fusion = recipe.network.fusion
    if not isinstance(fusion, EquilibriumFusion):
        return
    if fusion.gradient not in ("phantom", "random_steps") and _is_changed(fusion, "gradient_steps"):
        yield "network.fusion.gradient_steps", f"gradient: {fusion.gradient} takes none"
    if fusion.cell == "mixing":
        for name in ("level", "gate", "coupled"):
            if _is_changed(fusion, name):
                yield f"network.fusion.{name}", "cell: mixing has none"
    if fusion.gradient == "unroll":
        for name in ("solver", "damping", "tolerance"):
            if _is_changed(fusion, name):
                yield f"network.fusion.{name}", "gradient: unroll takes plain steps and looks for no fixed point"
    elif fusion.solver == "broyden" and _is_changed(fusion, "damping"):
        yield "network.fusion.damping", "solver: broyden has none"
    if not fusion.tied:
        for name in ("start", "spectral_bound"):
            if _is_changed(fusion, name):
                yield f"network.fusion.{name}", "tied: false starts at the inputs and bounds no weights"


def _is_changed(config: Model, name: str) -> bool:
    """Returns whether the value of a setting differs from its default."""
    return bool(getattr(config, name) != type(config).model_fields[name].get_default(call_default_factory=True))
