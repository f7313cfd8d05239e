"""Unvisited networks: those of a space that no trial has tried yet, so that nothing is suggested twice.

Near-duplicates count as one network: recipes that are equal but for settings without effect, and for values of
continuous parameters in the same hundredth of their range.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from nasfuse.errors import NasfuseError
from nasfuse.search.computed_costs import ComputedCosts
from nasfuse.search.fold import Fold
from nasfuse.search.samplers import Domain
from nasfuse.search.trial import TrialView

#: Largest number of parameter combinations that is enumerated; larger spaces are sampled at random.
MAX_ENUMERATED = 1000

#: Random draws searched for an unvisited network in a space that is not enumerated.
_N_DRAWS = 300


class Unvisited:
    """Keeps track of the recipes that the trials of a study have tried.

    Results play no part in it, so all earlier trials count, including those whose results are not yet visible.
    """

    def __init__(self, domain: Domain, costs: ComputedCosts, *, max_macs: int | None) -> None:
        """Searches `domain` for networks that can be trained and have at most `max_macs` MACs."""
        self._domain = domain
        self._costs = costs
        self._max_macs = max_macs
        self._visited: frozenset[str] = frozenset()
        self._identities: dict[int, str] = {}
        self._fold = Fold[TrialView, frozenset[str]](self._visited, self._extended)
        self._enumerated = domain.combinations(limit=MAX_ENUMERATED)

    def update(self, trials: Sequence[TrialView]) -> None:
        """Updates the visited recipes from `trials`, all trials of the study."""
        self._visited = self._fold.of(trials)

    def is_visited(self, parameters: Mapping[str, Any]) -> bool:
        """Returns whether an earlier trial with the recipe of complete `parameters` was handed out or rejected."""
        return self._identity(parameters) in self._visited

    def is_exhausted(self) -> bool:
        """Returns whether every network that may be trained was handed out; False if the space is not enumerated."""
        return self._enumerated is not None and self.pick(seed=0) is None

    def pick(self, *, seed: int) -> dict[str, Any] | None:
        """Returns the parameters of an unvisited network that may be trained, drawn at random; None if none is found.

        In an enumerated space, None means that there is none.
        """
        found = (one for one in self._shuffled(seed) if not self.is_visited(one) and self._may_be_trained(one))
        return next(found, None)

    def _extended(self, visited: frozenset[str], trials: Sequence[TrialView]) -> frozenset[str]:
        return visited.union(self._identity_of(trial) for trial in trials if self._counts(trial))

    def _counts(self, trial: TrialView) -> bool:
        """Returns whether a trial was handed out, or would be rejected again."""
        if trial.was_handed_out:
            return True
        if trial.has_recipe:
            return self._max_macs is not None and trial.macs > self._max_macs
        return trial.is_failed

    def _identity_of(self, trial: TrialView) -> str:
        if trial.number not in self._identities:
            self._identities[trial.number] = self._identity(trial.params)
        return self._identities[trial.number]

    def _identity(self, parameters: Mapping[str, Any]) -> str:
        """Returns what near-duplicates share, or the parameters as text where they are no valid recipe."""
        row = self._domain.row(parameters)
        coarse = dict(parameters) if row is None else self._domain.parameters(self._domain.coarse(row))
        try:
            return self._costs.identity(coarse)
        except NasfuseError:
            return repr(sorted(coarse.items()))

    def _may_be_trained(self, parameters: Mapping[str, Any]) -> bool:
        try:
            least = self._costs.log_least(parameters)
        except NasfuseError:
            return False
        return self._max_macs is None or least <= math.log10(self._max_macs)

    def _shuffled(self, seed: int) -> Iterator[dict[str, Any]]:
        rng = np.random.default_rng(seed)
        if self._enumerated is not None:
            for index in rng.permutation(len(self._enumerated)):
                yield self._enumerated[index]
            return
        for row in self._domain.rows(rng.random((_N_DRAWS, len(self._domain.columns)))):
            yield self._domain.parameters(row)
