"""Hand-made designs of a space: which are trained at the start of a search, and which are left to the sampler."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nasfuse.errors import NasfuseError
from nasfuse.search.budget import Budget
from nasfuse.search.computed_costs import ComputedCosts
from nasfuse.search.fold import Fold
from nasfuse.search.space import Space
from nasfuse.search.trial import TrialView

#: Largest share of a budget for hand-made designs, and the share for those that run before all suggestions where the
#: sampler takes the others as candidates.
LARGEST_SHARE = 1 / 3
SHARE_BEFORE_SUGGESTIONS = 1 / 6

#: MACs, as a multiple of the median of all designs, above which a design is not trained before the suggestions.
LARGEST_RATIO = 10.0

#: Share of a budget in minutes above which the training of a design takes too long to come before the suggestions,
#: unless it is a recommended one or one of the shortest quarter.
LONGEST_SHARE = 1 / 15


class HandMadeDesigns:
    """The hand-made designs of a study, in the order in which they are trained.

    The recommended designs of the space come first, in its order, then the others by their MACs. They run before all
    suggestions while they have used less than their share of the budget. A sampler that takes candidates is then
    offered the others, as long as less than a third of all trainings are hand-made designs.

    Attributes:
        postponed: Names of the designs that are too costly to be trained before the suggestions, with their MACs.
        too_long: Names of those whose training takes too long for that, with its estimated seconds.
    """

    def __init__(
        self, space: Space, costs: ComputedCosts, budget: Budget, *, max_macs: int | None, takes_offers: bool
    ) -> None:
        """Orders the designs of `space`.

        Args:
            space: Search space with the designs.
            costs: Costs of the designs.
            budget: Budget of the study.
            max_macs: Largest number of MACs that is trained; costlier designs are left out.
            takes_offers: Whether the sampler takes designs as candidates.
        """
        self._budget = budget
        self._takes_offers = takes_offers
        self._designs = space.baselines
        macs = {name: found for name in space.baselines if (found := _macs(space, costs, name)) is not None}
        limit = LARGEST_RATIO * statistics.median(macs.values()) if macs else 0.0
        self._allowed = {name: one for name, one in macs.items() if max_macs is None or one <= max_macs}
        self.postponed = {name: one for name, one in self._allowed.items() if one > limit}
        recommended = [name for name in space.recommended if name in self._allowed]
        for name in recommended:
            self.postponed.pop(name, None)
        others = [name for name in self._allowed if name not in self.postponed and name not in recommended]
        self.too_long = {}
        if budget.seconds is not None and costs.estimates_seconds:
            times = {name: costs.seconds(space.baselines[name]) for name in self._allowed}
            longest = max(LONGEST_SHARE * budget.seconds, np.quantile(list(times.values()), 0.25) if times else 0.0)
            self.too_long = {name: times[name] for name in others if times[name] > longest}
        in_time = sorted((name for name in others if name not in self.too_long), key=lambda name: macs[name])
        self._order = [*recommended, *in_time]

    def first(self, trials: Sequence[TrialView], *, seconds: float) -> str | None:
        """Returns the name of the design to be trained next, before any suggestion; None where it is not their turn.

        Args:
            trials: All trials of the study.
            seconds: Wall-clock time that the search has taken.
        """
        share = SHARE_BEFORE_SUGGESTIONS if self._takes_offers else LARGEST_SHARE
        begun = _BEGUN.of(trials)
        if begun.hand_made and not self._budget.allows(share, trainings=begun.hand_made + 1, seconds=seconds):
            return None
        return next((name for name in self._order if name not in begun.names), None)

    def offered(self, trials: Sequence[TrialView]) -> list[dict[str, Any]]:
        """Returns the parameters of the designs that the sampler may suggest beside its own draws."""
        begun = _BEGUN.of(trials)
        if not self._takes_offers or begun.hand_made + 1 > LARGEST_SHARE * (begun.firsts + 1):
            return []
        return [self._designs[name] for name in self._allowed if name not in begun.names]

    def name_of(self, parameters: Mapping[str, Any]) -> str | None:
        """Returns the name of the design with exactly these parameters; None if there is none."""
        return next((name for name, design in self._designs.items() if design == parameters), None)


@dataclass(frozen=True)
class _Begun:
    """What was begun in a study.

    Attributes:
        names: Names of the hand-made designs that were begun.
        firsts: Number of first trainings that were handed out.
        hand_made: Number of those that are hand-made designs.
    """

    names: frozenset[str | None] = frozenset()
    firsts: int = 0
    hand_made: int = 0

    def extended(self, trials: Sequence[TrialView]) -> "_Begun":
        """Returns what was begun with further trials."""
        firsts = [trial for trial in trials if trial.was_handed_out and not trial.is_repetition]
        return _Begun(
            self.names.union(trial.baseline for trial in trials if not trial.is_void),
            self.firsts + len(firsts),
            self.hand_made + sum(trial.is_baseline for trial in firsts),
        )


_BEGUN = Fold[TrialView, _Begun](_Begun(), _Begun.extended)


def _macs(space: Space, costs: ComputedCosts, name: str) -> int | None:
    """Returns the least MACs of a design; None if it cannot be trained."""
    try:
        return costs.least(space.recipe(space.baselines[name]))
    except NasfuseError:
        return None
