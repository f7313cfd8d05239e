"""The recipe: one complete, serialisable description of data, network and training."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from nasfuse.config.data_source import SHIPPED_SOURCES, located
from nasfuse.config.equilibrium import EquilibriumConfig
from nasfuse.config.fusion import FusionConfig
from nasfuse.config.modality import ModalityKind, PaddingSide
from nasfuse.config.model import MisfitError, Model
from nasfuse.config.route import parse_route
from nasfuse.config.router import RouterConfig, RoutingConfig
from nasfuse.config.stream import StreamConfig
from nasfuse.config.yaml_file import read_document, to_yaml
from nasfuse.errors import nearest

Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")]


class ModalityConfig(Model):
    """Where a modality stands in an `.npz` file.

    Attributes:
        kind: `vector`, `sequence` or `image`.
        array: Name of the array; the modality's own name where left out.
        index: Name of an integer array; sample i is then `array[index[i]]`.
        lengths: Name of an array with the true length of each sequence; the rest is padding.
        vocabulary: Number of ids, for a sequence of integer token ids.
        padding: Where the padding of a sequence with `lengths` stands: `left` in front of its data, `right` behind it.
            Where left out, it is found out from the data.
    """

    kind: ModalityKind
    array: str | None = None
    index: str | None = None
    lengths: str | None = None
    vocabulary: Annotated[int, Field(ge=2)] | None = None
    padding: PaddingSide | None = None


class DataConfig(Model):
    """Which data set, and how its file is read.

    Attributes:
        source: A shipped data set (`nasfuse data list`) or the path of an `.npz` file: from the working folder, beside
            the file that names it, or in the data folder.
        modalities: For a file: the modalities it holds. A shipped set knows its own.
        target: Name of the label array of a file.
        split: Name of the array that says train, val or test for every sample of a file.
        group: Name of an array; samples of one group never stand on both sides of a cut. Where the file's own
            val shares groups with train, the two are cut anew.
        task: What the labels are.
        val_fraction: Share of train that becomes val where the file has none. Groups are not divided, so that with few
            large ones the share may be another; a warning says so.
    """

    source: Annotated[str, Field(min_length=1)]
    modalities: dict[Name, ModalityConfig] = Field(default={})
    target: str = "y"
    split: str = "split"
    group: str | None = None
    task: Literal["multiclass", "multilabel", "regression"] = "multiclass"
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.15

    def at(self, source: str) -> "DataConfig":
        """Returns the same description for another file; a path from the working folder becomes absolute."""
        return self.model_copy(update={"source": os.path.abspath(source) if os.path.isfile(source) else source})

    @property
    def identity(self) -> dict[str, Any]:
        """Returns all that makes two descriptions the same: not the path of a file, which may be moved.

        Whether two files hold the same data is decided by their fingerprints.
        """
        plain = self.to_plain()
        return plain if self.source in SHIPPED_SOURCES else {key: plain[key] for key in plain if key != "source"}


class NetworkConfig(Model):
    """The network: streams, the route through them and how they are fused.

    Attributes:
        route: The streams of the network, in order; without a router, all of them run for every sample.
        streams: One encoder per stream of the route.
        fusion: How two or more streams are merged; absent for a single stream.
        dropout: Dropout before the head.
        router: Chooses between shorter routes sample by sample; absent in a static network.
    """

    route: Annotated[tuple[Name, ...], Field(min_length=1)]
    streams: dict[Name, StreamConfig]
    fusion: FusionConfig | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    router: RouterConfig | None = None

    def stages(self, route: Mapping[str, int | None]) -> dict[str, int]:
        """Returns stream name to the stages it runs on `route`, in the order of the network's streams.

        None stands for all of them: those before the fusion, or the whole stream where it is alone.
        """
        return {name: self._stages(name, route) for name in self.route if name in route}

    @property
    def depths(self) -> dict[str, int]:
        """Returns stream name to the stages that are built of it: as many as some route runs."""
        texts = None if self.router is None else self.router.routes
        routes = [dict.fromkeys(self.route)] if texts is None else [parse_route(text) for text in texts]
        found = [self.stages(route) for route in routes]
        return {name: max(stages.get(name, 0) for stages in found) for name in self.route}

    def _stages(self, name: str, route: Mapping[str, int | None]) -> int:
        depth = self.streams[name].depth
        most = depth if len(route) == 1 or self.fusion is None else min(self.fusion.placement, depth)
        wanted = route[name]
        return most if wanted is None else wanted

    @model_validator(mode="after")
    def _route_and_streams_agree(self) -> Self:
        if len(set(self.route)) != len(self.route):
            raise ValueError(f"route names a stream twice: {', '.join(self.route)}; name each once")
        missing = [name for name in self.route if name not in self.streams]
        idle = [name for name in self.streams if name not in self.route]
        if missing:
            raise ValueError(f"route names {', '.join(missing)}, which streams does not describe; add it there")
        if idle:
            raise ValueError(f"streams describes {', '.join(idle)}, which is not on the route; remove it")
        if len(self.route) == 1 and self.fusion is not None:
            raise ValueError("a route of one stream has nothing to fuse; remove fusion or add a stream")
        if len(self.route) > 1 and self.fusion is None:
            raise ValueError("a route of several streams needs fusion; add it, for example {kind: concat}")
        return self

    @model_validator(mode="after")
    def _routes_exist(self) -> Self:
        if self.router is None:
            return self
        used: set[str] = set()
        found: dict[tuple[tuple[str, int], ...], str] = {}
        for text in self.router.routes:
            route = parse_route(text)
            used |= route.keys()
            for name, wanted in route.items():
                if name not in self.route:
                    raise MisfitError("router.routes", f"{text} names stream {name!r}; {nearest(name, self.route)}")
                most = self._stages(name, {**route, name: None})
                before = " before the fusion" if len(route) > 1 else ""
                if wanted is not None and wanted > most:
                    raise MisfitError(
                        "router.routes",
                        f"{text} runs {wanted} stages of {name}, which has {most}{before}; ask for less",
                    )
            stages = tuple(self.stages(route).items())
            if stages in found:
                raise MisfitError("router.routes", f"{text} comes to the same as {found[stages]}; remove one")
            found[stages] = text
        idle = [name for name in self.route if name not in used]
        if idle:
            raise MisfitError("router.routes", f"no route runs {', '.join(idle)}; add one, or remove it from route")
        return self


class TrainingConfig(Model):
    """How the network is trained.

    Attributes:
        epochs: Passes over the training data at most.
        batch_size: Samples per step.
        lr: Peak learning rate of AdamW; warm-up, then cosine to zero.
        weight_decay: Of AdamW, on matrices only.
        warmup: Share of the steps that the learning rate rises.
        clip_norm: Gradient norm above which gradients are scaled down.
        patience: Epochs without a better validation loss before training stops, with the weights of its best
            epoch. A training that runs to its end keeps its last weights: the rate has come down to zero.
        label_smoothing: Share of a label's certainty that is given up: of the right class to all classes, of a yes/no
            label to its contrary. A regression has none.
        mixup: Alpha of the Beta distribution of mixup (one lambda per batch); 0 is off.
        mixup_at: What is mixed: `inputs`, or `manifold` for the features at a depth drawn per batch, which is right
            after the stems, after a stage of every stream, or before the head. A network with a router has no
            manifold mixup.
        input_noise: Standard deviation of Gaussian noise on the normalised inputs.
        shift: Largest random translation of images and sequences, as a share of their size, in whole steps.
        modality_dropout: Chance that a sample of a fused network loses one modality in training; token ids are
            never lost, as no id means nothing.
        routing: How routes and router are trained, for a network that has a router.
        ratio_weight: Of the ratio loss of `gumbel` reducers, which holds the chance that a token is kept to the keep
            ratio (DynamicViT).
        equilibrium: How fixed points are kept within reach, for a network that has `equilibrium` fusion.
    """

    epochs: Annotated[int, Field(ge=1)] = 30
    batch_size: Annotated[int, Field(ge=1)] = 64
    lr: Annotated[float, Field(gt=0)] = 3e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    patience: Annotated[int, Field(ge=1)] = 10
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    mixup: Annotated[float, Field(ge=0)] = 0.0
    mixup_at: Literal["inputs", "manifold"] = "inputs"
    input_noise: Annotated[float, Field(ge=0)] = 0.0
    shift: Annotated[float, Field(ge=0, lt=1)] = 0.0
    modality_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    ratio_weight: Annotated[float, Field(ge=0)] = 2.0
    routing: RoutingConfig | None = None
    equilibrium: EquilibriumConfig | None = None


class Recipe(Model):
    """One complete description of a network, its data and its training. YAML on disk.

    Attributes:
        metric: What validation and test report; `nasfuse.config.METRICS` has the names.
        data: Which data set.
        network: What is built.
        training: How it is trained.
    """

    metric: str = "accuracy"
    data: DataConfig
    network: NetworkConfig
    training: TrainingConfig = TrainingConfig()

    @classmethod
    def expand(cls, values: Any) -> Any:
        """Returns `values` with every shorthand written out."""
        return _expand_training(expand_modalities(values))

    @model_validator(mode="after")
    def _routing_needs_a_router(self) -> Self:
        if self.training.routing is not None and self.network.router is None:
            raise MisfitError(
                "training.routing", "it trains a router, and network.router is absent; remove one or add the other"
            )
        routing = self.training.routing
        if routing is not None and routing.first_stage > 0 and self.training.epochs < 2:
            raise MisfitError("training.epochs", "must be at least 2: the router is trained after its routes; raise it")
        return self

    @model_validator(mode="after")
    def _smoothing_needs_labels(self) -> Self:
        if self.training.label_smoothing > 0 and self.data.task == "regression":
            raise MisfitError("training.label_smoothing", "a regression has no labels to smooth; remove it")
        return self

    @model_validator(mode="after")
    def _manifold_mixup_needs_one_route(self) -> Self:
        training = self.training
        if training.mixup_at == "manifold" and training.mixup > 0 and self.network.router is not None:
            raise MisfitError(
                "training.mixup_at",
                "manifold would show mixed labels to routes that leave a stream before it is mixed; set it to inputs, "
                "or remove network.router",
            )
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
    def hash(self) -> str:
        """Returns 12 hexadecimal digits that two recipes share only if all but the path of their data is equal."""
        canonical = json.dumps({**self.to_plain(), "data": self.data.identity}, sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    @property
    def summary(self) -> str:
        """Returns the network in one line, for tables.

        Example: `left conv 2x32 + right conv 2x32 | gated at 1, width 32`.
        """
        network = self.network
        streams = " + ".join(f"{name} {network.streams[name].summary}" for name in network.route)
        fused = f"{streams} | {network.fusion.summary}" if network.fusion else streams
        return f"{fused} | {network.router.summary}" if network.router else fused

    @classmethod
    def load(cls, path: str | Path) -> "Recipe":
        """Returns the recipe in a YAML file, with the data where `locate` finds them.

        Raises:
            MissingFileError: No such file.
            ConfigError: With all problems of the file at once.
        """
        document = read_document(Path(path))
        return cls.parse(located(document.values, named_in=Path(path)), document=document)

    def to_yaml(self) -> str:
        """Returns the recipe as YAML; `load` gives the equal recipe back."""
        return to_yaml(self.to_plain())


def _expand_training(values: Any) -> Any:
    """Returns `values` with empty `training.routing` and `training.equilibrium` where they have something to train."""
    if not isinstance(values, dict) or not isinstance(values.get("network"), dict):
        return values
    training, fusion = values.get("training", {}), values["network"].get("fusion")
    if not isinstance(training, dict):
        return values
    wanted = []
    if values["network"].get("router"):
        wanted.append("routing")
    if isinstance(fusion, dict) and fusion.get("kind") == "equilibrium":
        wanted.append("equilibrium")
    missing: dict[str, Any] = {name: {} for name in wanted if training.get(name) is None}
    return {**values, "training": {**training, **missing}} if missing else values


def expand_modalities(values: Any) -> Any:
    """Returns `values` with `image: image` under `data.modalities` written as `image: {kind: image}`."""
    if not isinstance(values, dict) or not isinstance(values.get("data"), dict):
        return values
    modalities = values["data"].get("modalities")
    if not isinstance(modalities, dict):
        return values
    full = {name: {"kind": entry} if isinstance(entry, str) else entry for name, entry in modalities.items()}
    return {**values, "data": {**values["data"], "modalities": full}}
