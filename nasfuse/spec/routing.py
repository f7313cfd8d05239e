"""Schema of the router of a recipe and of its training."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from nasfuse.domain.route import parse_route, write_route
from nasfuse.spec.schema.model import MisfitError, Model


class RouterConfig(Model):
    """The router, which chooses one route per sample (the gate of DynMM, Xue & Marculescu, 2023).

    Attributes:
        routes: Two or more routes, such as `[image, image+audio:1, image+audio]`. `audio:1` ends the audio stream
            after its first stage. Each route has its own fusion and head; streams are shared. The network orders the
            routes by MACs.
        reads: Input of the router. `inputs`: the raw inputs of all streams, as in the paper. `cheapest_stream`: the
            output of the stem of the cheapest stream of the cheapest route. `cheap_route`: features and confidence of
            the cheapest route, which then runs for every sample (a cascade).
        form: Architecture: `linear`, `mlp`, or, for inputs with steps or pixels, `conv` or `transformer`.
        width: Hidden features of the router.
        threshold: Threshold of the choice, which sets the mean cost on validation data: at 0 every sample takes the
            costliest route, at 1 the cheapest, and at 0.5 as much is spent as the samples need; linear between these.
            It can be changed after training.
        macs: Largest expected MACs per sample. The threshold is set accordingly on validation data after training;
            takes precedence over `threshold`.
    """

    routes: tuple[str, ...]
    reads: Literal["inputs", "cheapest_stream", "cheap_route"] = "cheap_route"
    form: Literal["linear", "mlp", "conv", "transformer"] = "mlp"
    width: Annotated[int, Field(ge=1, le=4096)] = 16
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    macs: Annotated[int, Field(ge=1)] | None = None

    @property
    def summary(self) -> str:
        """Returns the router in a few words, for tables."""
        return f"{' > '.join(self.routes)} by {self.form} on {self.reads.replace('_', ' ')}"

    @field_validator("routes", mode="before")
    @classmethod
    def _tidy(cls, routes: Any) -> Any:
        if not isinstance(routes, list | tuple) or not all(isinstance(route, str) for route in routes):
            return routes
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
    def _form_suits(self) -> Self:
        if self.reads == "cheap_route" and self.form in ("conv", "transformer"):
            raise MisfitError(
                "form",
                f"a router that reads cheap_route has one vector as its input, which {self.form} cannot process; "
                "choose linear or mlp",
            )
        return self


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
    def _holdout_needs_freeze(self) -> Self:
        if self.holdout > 0 and not self.freeze:
            raise MisfitError(
                "holdout",
                "needs freeze: true, because otherwise routes are trained on the held-out samples; set it to 0",
            )
        return self
