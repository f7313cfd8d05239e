"""What the networks of a space cost, as far as it is known before they are trained."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nasfuse.errors import InvalidInputError, NasfuseError
from nasfuse.search.space import Space
from nasfuse.spec.recipe import Recipe


@dataclass(frozen=True)
class _Found:
    """What is known of some parameters: the hash of their recipe, and the least MACs or why they cannot be trained."""

    recipe_hash: str
    macs: int = 0
    is_random: bool = False
    problem: str | None = None


class NetworkCosts:
    """Costs of parameters; remembers them, and the MACs of a network however it is trained: building it takes time."""

    def __init__(
        self,
        space: Space,
        macs_of: Callable[[Recipe], int],
        *,
        cost: str,
        check: Callable[[Recipe], None] | None = None,
    ) -> None:
        """Takes how a recipe is judged.

        Args:
            space: What parameters mean.
            macs_of: Least MACs of a recipe's network; raises NasfuseError for a network that does not fit the data.
            cost: Of the study.
            check: Raises NasfuseError for a recipe whose training would fail before its first step.
        """
        self._space = space
        self._macs_of = macs_of
        self._check = check
        self._cost = cost
        self._found: dict[tuple[tuple[str, Any], ...], _Found | NasfuseError] = {}
        self._macs: dict[str, int | NasfuseError] = {}

    def recipe_hash(self, parameters: Mapping[str, Any]) -> str:
        """Returns the hash of the recipe of complete `parameters`, which may be one that cannot be trained.

        Raises:
            NasfuseError: They describe no recipe.
        """
        return self._find(parameters).recipe_hash

    def least(self, recipe: Recipe) -> int:
        """Returns the least MACs that a recipe can have.

        Raises:
            NasfuseError: It cannot be trained.
        """
        if self._check is not None:
            self._check(recipe)
        network = recipe.network.model_dump_json()
        if network not in self._macs:
            try:
                self._macs[network] = self._macs_of(recipe)
            except NasfuseError as error:
                self._macs[network] = error
        macs = self._macs[network]
        if isinstance(macs, NasfuseError):
            raise InvalidInputError(str(macs)) from macs
        return macs

    def log_least(self, parameters: Mapping[str, Any]) -> float:
        """Returns log10 of the least MACs that the network of complete `parameters` can have.

        Raises:
            NasfuseError: They are no valid network, or it cannot be trained.
        """
        found = self._find(parameters)
        if found.problem is not None:
            raise InvalidInputError(found.problem)
        return math.log10(max(found.macs, 1))

    def log_cost(self, parameters: Mapping[str, Any]) -> float | None:
        """Returns log10 of the study's cost, None where it shows in training or measuring only.

        The MACs of a network are known unless a router or the steps of a solver decide on them.

        Raises:
            NasfuseError: The parameters are no valid network, or it cannot be trained.
        """
        log_macs = self.log_least(parameters)
        return log_macs if self._cost == "macs" and not self._find(parameters).is_random else None

    def _find(self, parameters: Mapping[str, Any]) -> _Found:
        key = tuple(parameters.items())
        if key not in self._found:
            self._found[key] = self._judge(parameters)
        found = self._found[key]
        if isinstance(found, NasfuseError):
            raise InvalidInputError(str(found)) from found
        return found

    def _judge(self, parameters: Mapping[str, Any]) -> _Found | NasfuseError:
        try:
            recipe = self._space.recipe(parameters)
        except NasfuseError as error:
            return error
        try:
            macs = self.least(recipe)
        except NasfuseError as error:
            return _Found(recipe.hash, problem=str(error))
        fusion = recipe.network.fusion
        is_random = recipe.network.router is not None or (fusion is not None and fusion.kind == "equilibrium")
        return _Found(recipe.hash, macs, is_random)
