"""Spaces of numbers that configure no network of nasfuse, in the form in which the scheduler searches them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import BaseTrial

from nasfuse.search.parameters import Parameter
from nasfuse.spec.recipe import Recipe


class PointSpace:
    """The part of `nasfuse.search.space.Space` that a scheduler uses, for parameters that are not in a recipe.

    Every point has a recipe of its own, whose only stream is named for the point. Nothing is built from it.

    Attributes:
        parameters: In an order in which each stands after those it depends on.
        constants: Empty; no condition asks for a value that is not drawn.
        baselines: Empty.
        recommended: Empty.
    """

    def __init__(self, parameters: Sequence[Parameter], *, epochs: int, base: Mapping[str, Any]) -> None:
        """Prepares the recipe that all points are copies of.

        Args:
            parameters: What to suggest.
            epochs: Length of a training.
            base: The `metric` and `data` of every recipe.
        """
        self.parameters = tuple(parameters)
        self.constants: dict[str, Any] = {}
        self.baselines: dict[str, dict[str, Any]] = {}
        self.recommended: list[str] = []
        network = {"route": ["point"], "streams": {"point": {"encoder": "mlp"}}}
        self._recipe = Recipe.parse({**base, "network": network, "training": {"epochs": epochs}})
        self._points: dict[str, dict[str, Any]] = {}

    def suggest(self, trial: BaseTrial) -> dict[str, Any]:
        """Returns the parameters that `trial` draws, only those that exist beside one another."""
        drawn: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.exists(drawn):
                drawn[parameter.name] = parameter.draw(trial)
        return drawn

    def recipe(self, parameters: Mapping[str, Any]) -> Recipe:
        """Returns the recipe of a point."""
        point = json.dumps(dict(parameters), sort_keys=True)
        name = f"point-{hashlib.sha256(point.encode()).hexdigest()[:12]}"
        self._points[name] = dict(parameters)
        network = self._recipe.network
        stream = network.streams["point"]
        own = network.model_copy(update={"route": (name,), "streams": {name: stream}})
        return self._recipe.model_copy(update={"network": own})

    def parameters_of(self, recipe: Recipe) -> dict[str, Any]:
        """Returns the parameters of a recipe that this space made."""
        return self._points[recipe.network.route[0]]
