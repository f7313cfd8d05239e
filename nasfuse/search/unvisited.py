"""Networks of a space that a search has not handed out: no training is spent on the same recipe twice by accident."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from nasfuse.errors import NasfuseError
from nasfuse.search.network_costs import NetworkCosts
from nasfuse.search.samplers import Domain
from nasfuse.search.trial import TrialView

#: Combinations of values up to which a space is written out; in a larger one, unvisited networks are drawn at random.
MAX_WRITTEN_OUT = 1000

#: Random draws among which an unvisited network of a larger space is looked for.
_N_DRAWS = 300


class Unvisited:
    """Tells which parameters no trial of a study has had; what the trials measured plays no part in it.

    So all earlier trials count, also those whose results are still hidden from suggestions.
    """

    def __init__(self, domain: Domain, costs: NetworkCosts, *, max_macs: int | None) -> None:
        """Takes the parameters and what their networks cost; networks above `max_macs` are no candidates."""
        self._domain = domain
        self._costs = costs
        self._max_macs = max_macs
        self._visited: set[str] = set()
        self._identities: dict[int, str] = {}
        self._written_out = domain.combinations(limit=MAX_WRITTEN_OUT)

    def update(self, trials: Sequence[TrialView]) -> None:
        """Takes note of all trials of the study."""
        self._visited = {self._identity_of(trial) for trial in trials if self._counts(trial)}

    def is_visited(self, parameters: Mapping[str, Any]) -> bool:
        """Returns whether a trial with the recipe of complete `parameters` was handed out or refused before."""
        return self._identity(parameters) in self._visited

    def is_exhausted(self) -> bool:
        """Returns whether every network that may be trained was handed out; False where the space is too large."""
        return self._written_out is not None and self.pick(seed=0) is None

    def pick(self, *, seed: int) -> dict[str, Any] | None:
        """Returns the parameters of an unvisited network that may be trained, drawn at random; None if none is found.

        Where the space is written out, one is found if there is one.
        """
        found = (one for one in self._shuffled(seed) if not self.is_visited(one) and self._may_be_trained(one))
        return next(found, None)

    def _counts(self, trial: TrialView) -> bool:
        """Returns whether a trial was trained, is being trained, or would be refused again."""
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
        """Returns what only parameters of the same recipe share; of no valid network, the parameters themselves."""
        row = self._domain.row(parameters)
        exact = dict(parameters) if row is None else self._domain.parameters(row)  # 0.3, not 0.1 + 0.2
        try:
            return self._costs.recipe_hash(exact)
        except NasfuseError:
            return repr(sorted(exact.items()))

    def _may_be_trained(self, parameters: Mapping[str, Any]) -> bool:
        try:
            least = self._costs.log_least(parameters)
        except NasfuseError:
            return False
        return self._max_macs is None or least <= math.log10(self._max_macs)

    def _shuffled(self, seed: int) -> Iterator[dict[str, Any]]:
        rng = np.random.default_rng(seed)
        if self._written_out is not None:
            for index in rng.permutation(len(self._written_out)):
                yield self._written_out[index]
            return
        for row in self._domain.rows(rng.random((_N_DRAWS, len(self._domain.columns)))):
            yield self._domain.parameters(row)
