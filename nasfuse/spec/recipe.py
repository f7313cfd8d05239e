"""Schema of recipes: complete descriptions of data, network and training."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from nasfuse.domain.knob import with_settings
from nasfuse.domain.loss import LOSS_OPTIONS, get_loss
from nasfuse.domain.task import TASKS
from nasfuse.errors import InvalidInputError
from nasfuse.spec.data import DataConfig, expand_modalities
from nasfuse.spec.data_source import located
from nasfuse.spec.elastic import SmallerValues, check_elastic, expanded
from nasfuse.spec.fusion import LateFusion
from nasfuse.spec.metric import MetricName
from nasfuse.spec.network import NetworkConfig
from nasfuse.spec.routing import RoutingConfig, SequentialRouter
from nasfuse.spec.schema.model import MisfitError, Model
from nasfuse.spec.schema.yaml_file import Document, read_document, to_yaml
from nasfuse.spec.sites import ChainFusion, SitesConfigBase, SitesFusion
from nasfuse.spec.training import TrainingConfig

#: Fields of the training that did not exist when the first trials were recorded, whose hashes are to stay.
_LATER = ("class_weights", "stream_loss", "flip", "scale", "jitter", *LOSS_OPTIONS)

#: The same of `training.routing`.
_LATER_OF_ROUTING = ("routes_per_step",)


class Recipe(Model):
    """A complete description of a network, its data and its training, stored as YAML.

    Attributes:
        metric: Metric of validation and test, a key of `nasfuse.domain.metric.METRICS`.
        data: Data set.
        network: Architecture.
        training: Training options.
        elastic: Fields of the network that may shrink after training, by dotted path, to their smaller values, for
            example `network.streams.image.width: [8, 16]`; `*` stands for every stream. Each setting is a sub-network,
            which is trained with the whole one. Empty for an ordinary network.
    """

    metric: MetricName = "accuracy"
    data: DataConfig
    network: NetworkConfig
    training: TrainingConfig = TrainingConfig()
    # Left out where nothing may shrink, so that older recipes keep their hashes.
    elastic: Annotated[dict[str, SmallerValues], Field(exclude_if=lambda value: not value)] = {}  # noqa: RUF012 - pydantic copies it

    @classmethod
    def expand(cls, values: Any) -> Any:
        """Returns `values` with every shorthand written out."""
        values = expand_modalities(values)
        if isinstance(values, dict) and "network" in values:
            values = {**values, "network": NetworkConfig.expand(values["network"])}
        return _expand_training(_expand_elastic(values))

    @property
    def n_epochs(self) -> int:
        """Epochs of its training, or with `data.validation` of its trainings together."""
        validation = self.data.validation
        return self.training.epochs * (1 if validation is None else validation.n_trainings)

    @model_validator(mode="after")
    def _routing_needs_a_router(self) -> Self:
        routing, router = self.training.routing, self.network.router
        if routing is not None and router is None:
            raise MisfitError(
                "training.routing", "it trains a router, and network.router is absent; remove one or add the other"
            )
        if routing is not None and isinstance(router, SequentialRouter):
            raise MisfitError("training.routing", "a sequential router is not trained; remove it")
        if routing is not None and routing.first_stage > 0 and self.training.epochs < 2:
            raise MisfitError("training.epochs", "must be at least 2: the router is trained after its routes; raise it")
        return self

    @model_validator(mode="after")
    def _loss_fits_the_task(self) -> Self:
        try:
            get_loss(self.training.loss, self.data.task)
        except InvalidInputError as error:
            raise MisfitError("training.loss", str(error)) from None
        return self

    @model_validator(mode="after")
    def _smoothing_and_weights_need_classes(self) -> Self:
        if TASKS[self.data.task].has_classes:
            return self
        if self.training.label_smoothing > 0:
            raise MisfitError("training.label_smoothing", f"a {self.data.task} has no labels to smooth; remove it")
        if self.training.class_weights != "none":
            raise MisfitError("training.class_weights", f"a {self.data.task} has no classes to weight; remove it")
        return self

    @model_validator(mode="after")
    def _frequencies_are_those_of_pixels(self) -> Self:
        if self.training.class_weights == "median_frequency" and not TASKS[self.data.task].is_dense:
            raise MisfitError(
                "training.class_weights",
                f"median_frequency is a rule for pixels, not for a {self.data.task}; use balanced",
            )
        return self

    @model_validator(mode="after")
    def _stream_loss_trains_all(self) -> Self:
        training, fusion = self.training, self.network.fusion
        if training.stream_loss == 0:
            return self
        if isinstance(fusion, SitesConfigBase):
            raise MisfitError(
                "training.stream_loss",
                f"it is that of streams before a fusion, and kind: {fusion.kind} reads them several times; remove it",
            )
        if training.mixup_at == "manifold" and training.mixup > 0:
            raise MisfitError(
                "training.stream_loss",
                "it is not supported with manifold mixup, which may mix fused features and not those of the streams; "
                "set training.mixup_at to inputs, or remove it",
            )
        if training.routing is not None and training.routing.first_stage == 0:
            raise MisfitError(
                "training.stream_loss", "it is part of the first stage, and training.routing.first_stage is 0; raise it"
            )
        is_mean = isinstance(fusion, LateFusion) and fusion.weights == "equal" and self.network.router is None
        if training.stream_loss == 1 and fusion is not None and not is_mean:
            raise MisfitError(
                "training.stream_loss",
                "1 trains the streams alone, which is enough for a static network with late fusion and equal weights; "
                "lower it",
            )
        return self

    @model_validator(mode="after")
    def _manifold_mixup_needs_one_route(self) -> Self:
        training = self.training
        if training.mixup_at == "manifold" and training.mixup > 0 and self.network.router is not None:
            raise MisfitError(
                "training.mixup_at",
                "manifold is not supported with a router, because a route may leave a stream before the depth at which "
                "it is mixed; set it to inputs, or remove network.router",
            )
        return self

    @model_validator(mode="after")
    def _manifold_mixup_needs_one_depth(self) -> Self:
        training, is_dense = self.training, TASKS[self.data.task].is_dense
        if training.mixup_at == "manifold" and training.mixup > 0:
            if is_dense or isinstance(self.network.fusion, ChainFusion):
                what = "the decoder of label maps" if is_dense else "a chain"
                raise MisfitError(
                    "training.mixup_at",
                    f"manifold mixes features at one depth, and {what} reads several; set it to inputs",
                )
        return self

    @model_validator(mode="after")
    def _label_maps_need_a_decoder(self) -> Self:
        fusion, is_dense = self.network.fusion, TASKS[self.data.task].is_dense
        if self.network.decoder is not None and not is_dense:
            raise MisfitError("network.decoder", f"a {self.data.task} has no label maps to decode; remove it")
        if is_dense and fusion is not None and not isinstance(fusion, SitesFusion):
            raise MisfitError(
                "network.fusion.kind",
                f"{fusion.kind} gives one vector per sample, and {self.data.task} needs a map; use kind: sites",
            )
        return self

    @model_validator(mode="after")
    def _elastic_suits_the_network(self) -> Self:
        training = self.training
        if not self.elastic:
            if training.elastic is not None:
                raise MisfitError(
                    "training.elastic", "it trains sub-networks, and elastic is absent; remove one or add the other"
                )
            return self
        check_elastic(self.network, self.elastic)
        if training.elastic is None:
            raise MisfitError("training.elastic", "elastic needs it; add it, for example {}")
        reason = None
        if TASKS[self.data.task].is_dense:
            reason = f"the label maps of a {self.data.task}"
        elif self.data.validation is not None:
            reason = "data.validation"
        elif training.mixup > 0 and training.mixup_at == "manifold":
            reason = "training.mixup_at manifold"
        if reason is not None:
            raise MisfitError("elastic", f"is not supported with {reason}; remove one of them")
        return self

    @model_validator(mode="after")
    def _equilibrium_needs_one(self) -> Self:
        fusion = self.network.fusion
        if self.training.equilibrium is not None and (fusion is None or fusion.kind != "equilibrium"):
            raise MisfitError(
                "training.equilibrium", "it needs network.fusion.kind: equilibrium; remove one or add the other"
            )
        return self

    @property
    def members(self) -> "tuple[Recipe, ...]":
        """The recipe itself: the networks to train, of which an ensemble has several."""
        return (self,)

    @property
    def drops_modalities(self) -> bool:
        """Whether training samples lose modalities, so that streams have placeholders."""
        return self.training.modality_dropout > 0

    def smaller(self, setting: Mapping[str, int]) -> "Recipe":
        """Returns the recipe of a sub-network, by the paths of elastic fields, in which nothing is elastic.

        Raises:
            ConfigError: The values contradict one another.
        """
        plain = self.to_plain()
        del plain["elastic"], plain["training"]["elastic"]
        return Recipe.parse(with_settings(plain, setting), source="the recipe of a sub-network")

    @property
    def hash(self) -> str:
        """Returns a hash of 12 hexadecimal digits over all fields but the path of the data.

        It depends on later additions to the schema only where they are not at their defaults.
        """
        plain = self.to_plain()
        training = plain["training"]
        for name in _LATER:
            if training[name] == TrainingConfig.model_fields[name].default:
                del training[name]
        routing = training.get("routing", {})
        for name in _LATER_OF_ROUTING:
            if routing.get(name) == RoutingConfig.model_fields[name].default:
                del routing[name]
        canonical = json.dumps({**plain, "data": self.data.identity}, sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    @property
    def summary(self) -> str:
        """Returns a one-line description of the network for tables.

        Example: `left conv 2x32 + right conv 2x32 | gated at 1, width 32`.
        """
        network = self.network
        streams = " + ".join(f"{name} {network.streams[name].summary}" for name in network.route)
        fused = f"{streams} | {network.fusion.summary}" if network.fusion else streams
        whole = f"{fused} | {network.router.summary}" if network.router else fused
        return f"{whole} | elastic" if self.elastic else whole

    @classmethod
    def load(cls, path: str | Path) -> "Recipe":
        """Returns the recipe in a YAML file, with `data.source` resolved by `locate`.

        Raises:
            MissingFileError: No such file.
            ConfigError: With all problems of the file at once.
            InvalidInputError: The file is a study.
        """
        document = read_recipe_document(path)
        return cls.parse(located(document.values, named_in=Path(path)), document=document)

    def to_yaml(self) -> str:
        """Returns the recipe as YAML, from which `load` restores an equal recipe."""
        return to_yaml(self.to_plain())


def read_recipe_document(path: str | Path) -> Document:
    """Returns the YAML file of a recipe.

    Raises:
        MissingFileError: No such file.
        ConfigError: The file is no YAML mapping.
        InvalidInputError: The file is a study.
    """
    document = read_document(Path(path))
    if "space" in document.values and not document.values.keys() & {"network", "ensemble"}:
        raise InvalidInputError(
            f"{path} is a study, not a recipe: run `nasfuse search` with it, and then `nasfuse export` for a recipe"
        )
    return document


def _expand_elastic(values: Any) -> Any:
    """Returns `values` with `*` in paths of `elastic` written out for every stream."""
    if not isinstance(values, dict) or not isinstance(values.get("elastic"), dict):
        return values
    network = values.get("network")
    streams = network.get("streams") if isinstance(network, dict) else None
    return {**values, "elastic": expanded(values["elastic"], list(streams) if isinstance(streams, dict) else [])}


def _expand_training(values: Any) -> Any:
    """Returns `values` with the defaults of parts of `training` added for networks that need them."""
    if not isinstance(values, dict) or not isinstance(values.get("network"), dict):
        return values
    training, fusion = values.get("training", {}), values["network"].get("fusion")
    if not isinstance(training, dict):
        return values
    wanted = []
    router = values["network"].get("router")
    if isinstance(router, dict) and router.get("kind") == "gate":
        wanted.append("routing")
    if isinstance(fusion, dict) and fusion.get("kind") == "equilibrium":
        wanted.append("equilibrium")
    if values.get("elastic"):
        wanted.append("elastic")
    missing: dict[str, Any] = {name: {} for name in wanted if training.get(name) is None}
    return {**values, "training": {**training, **missing}} if missing else values
