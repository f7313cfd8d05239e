"""Counts of trials, which a search asks for several times per trial."""

from collections.abc import Callable, Sequence
from operator import attrgetter

from nasfuse.search.fold import Fold
from nasfuse.search.trial import TrialView


def _count(is_counted: Callable[[TrialView], bool]) -> Fold[TrialView, int]:
    def extend(before: int, trials: Sequence[TrialView]) -> int:
        return before + sum(map(is_counted, trials))

    return Fold(0, extend)


_TRAINED = _count(attrgetter("was_trained"))
_WAITING = _count(attrgetter("is_waiting"))
_UNFINISHED = _count(lambda trial: not trial.is_finished)


def n_trained(trials: Sequence[TrialView]) -> int:
    """Returns the number of trials that have used budget."""
    return _TRAINED.of(trials)


def n_waiting(trials: Sequence[TrialView]) -> int:
    """Returns the number of trials that are enqueued and have not been handed out."""
    return _WAITING.of(trials)


def n_unfinished(trials: Sequence[TrialView]) -> int:
    """Returns the number of trials that have not ended."""
    return _UNFINISHED.of(trials)
