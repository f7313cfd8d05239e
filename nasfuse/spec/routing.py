"""Schema of the router of a recipe and of its training."""

from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from nasfuse.domain.route import extends, parse_route, write_route
from nasfuse.errors import nearest
from nasfuse.spec.schema.model import MisfitError, Model


class GuaranteeConfig(Model):
    """A threshold that is chosen so that routing loses little, with a confidence (Angelopoulos et al., 2021).

    Half of the validation samples choose the settings of the router; the other half, held out, tests them from the
    costliest to the cheapest. The last setting before the first that fails is taken. The guarantee is on the share of
    errors on new samples of the same distribution, in excess of those of the costliest route.

    Attributes:
        max_loss: Largest increase of the share of errors over the costliest route: 0.01 is one point of accuracy.
        confidence: Probability, over the draw of the validation samples, with which the limit is kept.
    """

    max_loss: Annotated[float, Field(gt=0, lt=1)]
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.9


def _kind_of_threshold(value: Any) -> str:
    return "guarantee" if isinstance(value, dict | GuaranteeConfig) else "number"


class RouterConfigBase(Model):
    """Options of every router.

    Attributes:
        routes: Two or more routes, such as `[image, image+audio:1, image+audio]`. `audio:1` ends the audio stream
            after its first stage. Each route has its own fusion and head; streams are shared.
        threshold: Threshold of the choice, which sets the mean cost on validation data: at 0 every sample takes the
            costliest route, at 1 the cheapest, and at 0.5 as much is spent as the samples need; linear between these.
            It can be changed after training. `{max_loss: 0.01, confidence: 0.9}` takes the cheapest setting that is
            tested to lose little.
        macs: Largest expected MACs per sample. The threshold is set accordingly on validation data after training;
            takes precedence over `threshold`.
        always: The one of `routes` that all samples take after training, as a static network without the computations
            for the choice; takes precedence over `macs` and `threshold`. None: the router chooses.
    """

    routes: tuple[str, ...]
    threshold: Annotated[
        Annotated[Annotated[float, Field(ge=0, le=1)], Tag("number")] | Annotated[GuaranteeConfig, Tag("guarantee")],
        Discriminator(_kind_of_threshold),
    ] = 0.5
    macs: Annotated[int, Field(ge=1)] | None = None
    always: str | None = None

    @property
    def initial_threshold(self) -> float:
        """Returns the threshold of an untrained network: the number given, or 0 where it is chosen after training."""
        return 0.0 if isinstance(self.threshold, GuaranteeConfig) else self.threshold

    @field_validator("routes", mode="before")
    @classmethod
    def _tidy(cls, routes: Any) -> Any:
        if not isinstance(routes, list | tuple) or not all(isinstance(route, str) for route in routes):
            return tuple(routes) if isinstance(routes, list) else routes
        return tuple(write_route(parse_route(route)) for route in routes)

    @field_validator("routes")
    @classmethod
    def _several(cls, routes: tuple[str, ...]) -> tuple[str, ...]:
        if len(routes) < 2:
            raise ValueError(f"a router needs at least two routes to choose from, got {len(routes)}; add more")
        twice = [route for route in routes if routes.count(route) > 1]
        if twice:
            raise ValueError(f"route {twice[0]} is given twice; give each route once")
        return routes

    @model_validator(mode="after")
    def _always_one_of_the_routes(self) -> Self:
        if self.always is not None and self.always not in self.routes:
            raise MisfitError(
                "always", f"must be one of the routes, got {self.always!r}; {nearest(self.always, self.routes)}"
            )
        return self


class GateRouter(RouterConfigBase):
    """A trained router, which chooses one route per sample once (the gate of DynMM, Xue & Marculescu, 2023).

    The network orders the routes by MACs.

    Attributes:
        reads: Input of the router. `inputs`: the raw inputs of all streams, as in the paper. `cheapest_stream`: the
            output of the stem of the cheapest stream of the cheapest route. `stems`: the outputs of the stems of all
            streams, as in the paper for label maps. `cheap_route`: features and confidence of the cheapest route, which
            then runs for every sample (a cascade).
        form: Architecture: `linear`, `mlp`, or, for inputs with steps or pixels, `conv` or `transformer`.
        width: Hidden features of the router.
    """

    kind: Literal["gate"] = "gate"
    reads: Literal["inputs", "cheapest_stream", "stems", "cheap_route"] = "cheap_route"
    form: Literal["linear", "mlp", "conv", "transformer"] = "mlp"
    width: Annotated[int, Field(ge=1, le=4096)] = 16

    @property
    def summary(self) -> str:
        """Returns the router in a few words, for tables."""
        return f"{' > '.join(self.routes)} by {self.form} on {self.reads.replace('_', ' ')}"

    @model_validator(mode="after")
    def _form_suits(self) -> Self:
        if self.reads == "cheap_route" and self.form in ("conv", "transformer"):
            raise MisfitError(
                "form",
                f"a router that reads cheap_route has one vector as its input, which {self.form} cannot process; "
                "choose linear or mlp",
            )
        if self.reads == "stems" and self.form == "transformer":
            raise MisfitError("form", "a router that reads stems has no form transformer; choose linear, mlp or conv")
        return self


class SequentialRouter(RouterConfigBase):
    """Exits with a threshold each: a sample runs one route after the other and stops where it is sure enough.

    Every route extends the one before: it has all its streams and at least as many stages of each. Nothing is trained
    beside the routes; the thresholds of the exits are chosen on validation data.
    """

    kind: Literal["sequential"] = "sequential"

    @property
    def summary(self) -> str:
        """Returns the router in a few words, for tables."""
        return f"{' > '.join(self.routes)} by confidence"

    @field_validator("routes")
    @classmethod
    def _nested(cls, routes: tuple[str, ...]) -> tuple[str, ...]:
        for before, after in pairwise(routes):
            if not extends(parse_route(after), parse_route(before)):
                raise ValueError(
                    f"{after} does not extend {before}: each route of a sequential router has all streams of the one "
                    "before and at least as many stages of each; reorder or change the routes"
                )
        return routes


RouterConfig = Annotated[GateRouter | SequentialRouter, Field(discriminator="kind")]


class RoutingConfig(Model):
    """Training of routes and router in two stages: first all routes, then the router alone or together with them.

    Attributes:
        resource_weight: Weight of the expected cost in the loss. The cost is MACs divided by those of the costliest
            route.
        budget: Share of the costliest route's MACs below which the expected cost is not penalised; None: 0.
        temperature: Temperature of the gate's softmax.
        final_temperature: Temperature in the last epoch, approached exponentially; None: `temperature`.
        gumbel: Whether Gumbel noise is added to the gate's logits in training.
        first_stage: Share of the epochs that belong to the first stage, which trains all routes equally without the
            router.
        routes_per_step: Routes that a step of the first stage trains: `all`, on their mean loss, or `one`, drawn
            uniformly for the batch. The expected loss is the same; `one` takes the time of a mean route and has more
            noise.
        freeze: Whether streams, fusions and heads are frozen in the second stage. The router is then trained on samples
            without noise, shift or mixup.
        holdout: Share of the training samples (of the groups, if the data have groups) that is left out of the first
            stage and used for the second. Routes fit the samples they were trained on, so these say little
            about which route a new sample needs. Needs `freeze`.
    """

    resource_weight: Annotated[float, Field(ge=0)] = 0.01
    budget: Annotated[float, Field(gt=0, le=1)] | None = None
    temperature: Annotated[float, Field(gt=0)] = 1.0
    final_temperature: Annotated[float, Field(gt=0)] | None = None
    gumbel: bool = False
    first_stage: Annotated[float, Field(ge=0, lt=1)] = 0.7
    routes_per_step: Literal["all", "one"] = "all"
    freeze: bool = True
    holdout: Annotated[float, Field(ge=0, le=0.5)] = 0.15

    @model_validator(mode="before")
    @classmethod
    def _default_holdout(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("freeze") is False:
            return {"holdout": 0.0, **values}
        return values

    @model_validator(mode="after")
    def _routes_are_trained(self) -> Self:
        if self.freeze and self.first_stage == 0:
            raise MisfitError("first_stage", "must be above 0 with freeze: true, or routes are never trained; raise it")
        return self

    @model_validator(mode="after")
    def _one_route_needs_a_first_stage(self) -> Self:
        if self.routes_per_step == "one" and self.first_stage == 0:
            raise MisfitError(
                "routes_per_step", "it belongs to the first stage, and first_stage is 0; raise that, or remove it"
            )
        return self

    @model_validator(mode="after")
    def _holdout_needs_freeze(self) -> Self:
        if self.holdout > 0 and not self.freeze:
            raise MisfitError(
                "holdout",
                "needs freeze: true, because otherwise routes are trained on the held-out samples; set it to 0",
            )
        return self
