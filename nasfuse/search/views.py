"""The views of all trials of a study."""

import itertools
import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import optuna
from optuna.trial import FrozenTrial

from nasfuse.search.study_attributes import StudyAttributes
from nasfuse.search.trial import TrialView

#: Number of the last trials that are compared one by one, as some of them may be shown without results.
_N_LAST = 64


@dataclass
class _Settled:
    """The first trials of a study up to one that has not ended, and their views, which do not change any more.

    Each suggestion reads all trials several times, and most of them have ended.
    """

    void: frozenset[int]
    trials: list[FrozenTrial] = field(default_factory=list)
    views: list[TrialView] = field(default_factory=list)

    def n_shared(self, trials: Sequence[FrozenTrial]) -> int:
        """Returns how many of `trials`, from the first on, are settled; the last ones may be shown without results."""
        n_most = min(len(self.trials), len(trials))
        n_first = max(n_most - _N_LAST, 0)
        if self.trials[:n_first] != trials[:n_first]:  # much faster than one by one
            n_first = 0
        differ = map(operator.is_not, self.trials[n_first:], trials[n_first:])
        return n_first + next(itertools.compress(itertools.count(), differ), n_most - n_first)


_settled: WeakKeyDictionary[optuna.Study, _Settled] = WeakKeyDictionary()


def trials_of(study: optuna.Study) -> list[TrialView]:
    """Returns a view of every trial of `study`, by number."""
    void = StudyAttributes(study).void
    settled = _settled.get(study)
    if settled is None or settled.void != void:
        settled = _settled[study] = _Settled(void)
    trials = study.get_trials(deepcopy=False)
    n_shared = settled.n_shared(trials)
    later = [TrialView(trial, trial.number in void) for trial in trials[n_shared:]]
    found = [*settled.views[:n_shared], *later]
    if n_shared == len(settled.trials):
        for view in itertools.takewhile(lambda one: one.is_finished, later):
            settled.trials.append(view.frozen)
            settled.views.append(view)
    return found
