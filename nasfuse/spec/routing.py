"""The router in a recipe: between which routes it chooses, what it looks at, and how it is trained."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from nasfuse.domain.route import parse_route, write_route
from nasfuse.spec.schema.model import MisfitError, Model


class RouterConfig(Model):
    """Chooses one route per sample (DynMM's gate, Xue & Marculescu, 2023).

    Attributes:
        routes: At least two, such as `[image, image+audio:1, image+audio]`. `audio:1` stops the audio stream
            after its first stage, its other stages do not run. Each route has its own fusion and head; streams
            are shared. The network orders them by MACs.
        reads: What the router sees. `inputs`: the raw inputs of all streams, as in the paper. `cheapest_stream`:
            the stem of the cheapest stream of the cheapest route. `cheap_route`: features and confidence of the
            cheapest route, which then runs for every sample (a cascade).
        form: `linear`, `mlp`, or `conv` and `transformer` where it reads inputs or a stream that have steps.
        width: Hidden features of the router.
        threshold: How much is saved. 0 sends every sample down the costliest route, 1 down the cheapest; at 0.5 as
            much is spent as the samples need on average, and between these the cost is linear, all on validation data.
            Can be changed after training.
        macs: Expected MACs per sample that are spent at most: the threshold is set for them after training, on
            validation data. Wins over `threshold`.
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
            raise ValueError(f"a router needs at least two routes to choose from, got {len(routes)}; add one")
        twice = [route for route in routes if routes.count(route) > 1]
        if twice:
            raise ValueError(f"route {twice[0]} is there twice; name each route once")
        return routes

    @model_validator(mode="after")
    def _form_suits(self) -> Self:
        if self.reads == "cheap_route" and self.form in ("conv", "transformer"):
            raise MisfitError(
                "form",
                f"a router that reads the cheap route gets one vector, so {self.form} means nothing; "
                "choose linear or mlp",
            )
        return self


class RoutingConfig(Model):
    """How routes and router are trained: first all routes, then the router with them or after them.

    Attributes:
        resource_weight: Weight of the expected cost in the loss; cost is MACs over those of the costliest route.
        budget: Share of the costliest route's MACs; expected cost below it is not penalised. None penalises all.
        temperature: Of the gate's softmax.
        final_temperature: Reached exponentially at the last epoch; None keeps `temperature`.
        gumbel: Whether Gumbel noise is added to the gate's logits in training.
        first_stage: Share of the epochs that trains all routes equally, without the router.
        freeze: Whether streams, fusions and heads stay as the first stage left them. The router is then trained
            on samples as they are, without noise, shift or mixup.
        holdout: Share of the training samples (of their groups, where the data has groups) that the first stage
            leaves out and the second one is trained on. On samples that the routes were trained on, every route is
            right and nothing can be learned about who needs which. Needs `freeze`.
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
            raise MisfitError("first_stage", "0 with freeze: true would never train the routes; raise it")
        return self

    @model_validator(mode="after")
    def _holdout_needs_freeze(self) -> Self:
        if self.holdout > 0 and not self.freeze:
            raise MisfitError("holdout", "needs freeze: true, or the routes are trained on it after all; set it to 0")
        return self
