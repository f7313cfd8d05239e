"""What the networks of a space cost, as far as it is known before they are trained."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from nasfuse.config.recipe import Recipe
from nasfuse.errors import InvalidInputError, NasfuseError
from nasfuse.search.space import Space


class NetworkCosts:
    """Costs of parameters; remembers them, and the MACs of a network however it is trained: building it takes time."""

    def __init__(self, space: Space, macs_of: Callable[[Recipe], int], *, cost: str) -> None:
        self._space = space
        self._macs_of = macs_of
        self._cost = cost
        self._found: dict[tuple[tuple[str, Any], ...], tuple[float, bool] | NasfuseError] = {}
        self._macs: dict[str, int] = {}

    def log_least(self, parameters: Mapping[str, Any]) -> float:
        """Returns log10 of the least MACs that the network of complete `parameters` can have.

        Raises:
            NasfuseError: They are no valid network.
        """
        return self._find(parameters)[0]

    def log_cost(self, parameters: Mapping[str, Any]) -> float | None:
        """Returns log10 of the study's cost, None where it shows in training or measuring only.

        The MACs of a network are known unless a router or the steps of a solver decide on them.

        Raises:
            NasfuseError: The parameters are no valid network.
        """
        log_macs, is_random = self._find(parameters)
        return log_macs if self._cost == "macs" and not is_random else None

    def _find(self, parameters: Mapping[str, Any]) -> tuple[float, bool]:
        key = tuple(parameters.items())
        if key not in self._found:
            self._found[key] = self._count(parameters)
        found = self._found[key]
        if isinstance(found, NasfuseError):
            raise InvalidInputError(str(found)) from found
        return found

    def _count(self, parameters: Mapping[str, Any]) -> tuple[float, bool] | NasfuseError:
        try:
            recipe = self._space.recipe(parameters)
            network = recipe.network.model_dump_json()
            if network not in self._macs:
                self._macs[network] = self._macs_of(recipe)
        except NasfuseError as error:
            return error
        fusion = recipe.network.fusion
        is_random = recipe.network.router is not None or (fusion is not None and fusion.kind == "equilibrium")
        return math.log10(max(self._macs[network], 1)), is_random
