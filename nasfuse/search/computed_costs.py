"""Costs of the networks of a search space, as far as they are computed before training and not measured after it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nasfuse.errors import InvalidInputError, NasfuseError
from nasfuse.search.effective_recipe import effective_hash
from nasfuse.search.space import Space
from nasfuse.spec.recipe import Recipe


@dataclass(frozen=True)
class _Found:
    """Result for one set of parameters: the effective recipe; its least MACs and time, or why it cannot be trained."""

    identity: str
    macs: int = 0
    seconds: float | None = None
    is_random: bool = False
    problem: str | None = None


class ComputedCosts:
    """Computes the costs of parameters, and caches them, because counting MACs means building the network."""

    def __init__(
        self,
        space: Space,
        macs_of: Callable[[Recipe], int],
        *,
        cost: str,
        check: Callable[[Recipe], None] | None = None,
        check_macs: Callable[[Recipe, int], None] | None = None,
        seconds_of: Callable[[Recipe, int], float] | None = None,
    ) -> None:
        """Sets up the computation.

        Args:
            space: Search space that turns parameters into recipes.
            macs_of: Returns the least MACs of a recipe's network; raises NasfuseError if it does not fit the data.
            cost: Name of the study's cost.
            check: Raises NasfuseError for a recipe whose training would fail before its first step.
            check_macs: Raises NasfuseError for a recipe that must not be trained because of its least MACs.
            seconds_of: Returns the estimated seconds of the training of a recipe with these least MACs.
        """
        self._space = space
        self._macs_of = macs_of
        self._check = check
        self._check_macs = check_macs
        self._seconds_of = seconds_of
        self._cost = cost
        self._found: dict[tuple[tuple[str, Any], ...], _Found | NasfuseError] = {}
        self._macs: dict[str, int | NasfuseError] = {}

    def identity(self, parameters: Mapping[str, Any]) -> str:
        """Returns a hash of the recipe that `parameters` describe, without settings that have no effect.

        The recipe need not be one that can be trained.

        Raises:
            NasfuseError: The parameters describe no valid recipe.
        """
        return self._find(parameters).identity

    def least(self, recipe: Recipe) -> int:
        """Returns the least MACs per sample that the network of `recipe` can have.

        Raises:
            NasfuseError: The recipe cannot be trained.
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
        if self._check_macs is not None:
            self._check_macs(recipe, macs)
        return macs

    def log_least(self, parameters: Mapping[str, Any]) -> float:
        """Returns log10 of the least MACs that the network of complete `parameters` can have.

        Raises:
            NasfuseError: The parameters are no valid network, or it cannot be trained.
        """
        found = self._find(parameters)
        if found.problem is not None:
            raise InvalidInputError(found.problem)
        return math.log10(max(found.macs, 1))

    def log_cost(self, parameters: Mapping[str, Any]) -> float | None:
        """Returns log10 of the study's cost, or None if it can only be measured after training.

        MACs are fixed before training unless they depend on a router or on the steps of an equilibrium solver.

        Raises:
            NasfuseError: The parameters are no valid network, or it cannot be trained.
        """
        log_macs = self.log_least(parameters)
        return log_macs if self._cost == "macs" and not self._find(parameters).is_random else None

    @property
    def estimates_seconds(self) -> bool:
        """Whether the durations of trainings are estimated."""
        return self._seconds_of is not None

    def seconds(self, parameters: Mapping[str, Any]) -> float:
        """Returns the estimated seconds of the training of complete `parameters`, if durations are estimated.

        Raises:
            NasfuseError: The parameters are no valid network, or it cannot be trained.
        """
        found = self._find(parameters)
        if found.seconds is None:
            raise InvalidInputError(found.problem or "the durations of trainings are not estimated")
        return found.seconds

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
            return _Found(effective_hash(recipe), problem=str(error))
        fusion = recipe.network.fusion
        is_random = recipe.network.router is not None or (fusion is not None and fusion.kind == "equilibrium")
        seconds = None if self._seconds_of is None else self._seconds_of(recipe, macs)
        return _Found(effective_hash(recipe), macs, seconds, is_random)
