"""Visibility: on the results of which trainings a further trial may depend."""

import bisect
from collections.abc import Sequence
from operator import attrgetter

from nasfuse.search.fold import Fold
from nasfuse.search.trial import TrialView

#: Default number of trainings that may be under way at once without changing what is suggested. With a larger number,
#: suggestions use fewer results; with a smaller one, workers wait for the oldest training, and some trainings take ten
#: times as long as others: two workers were busy 87 % of the time with 4, and 98 % with 8, for the durations of the
#: avdigits study.
DEFAULT_VISIBILITY_LAG = 8

#: Expected time of the trainings after a long one that are handed out before its result is waited for, as a multiple of
#: its own and of the visibility lag: other workers have enough to do in the meantime. It is waited for after `_MOST`.
_WORK_PER_LAG, _MOST = 0.25, 60


def visibility_lag(*, workers: int, n_trials: int | None) -> int:
    """Returns how many trainings may be under way at once in a study that starts with this number of workers.

    Twice the number of workers, so that they seldom wait for the oldest training, but at most half of the study's
    trials, because a suggestion that sees no results is a random one. Never less than one per worker.

    Args:
        workers: Trainings that run at the same time.
        n_trials: Budget of the study in trials; None where only time limits it.
    """
    most = 2 * workers if n_trials is None else max(workers, n_trials // 2)
    return max(DEFAULT_VISIBILITY_LAG, min(2 * workers, most))


def split_by_visibility(
    trials: Sequence[TrialView], *, visibility_lag: int, number: int | None = None
) -> tuple[list[TrialView], list[TrialView]]:
    """Returns the trainings whose results a trial may depend on, and the other trainings before it.

    A trial depends on all trainings before it except the last `visibility_lag` - 1, and except long ones before these
    after which little work has been handed out. Whether those have ended when the trial is handed out depends on the
    number of workers and on how long trainings take.

    Args:
        trials: All trials of the study, by number.
        visibility_lag: Trainings that may be under way at once, but for long ones.
        number: Number of the trial; None for the next one.
    """
    earlier = handed_out(trials)
    end = len(earlier) if number is None else bisect.bisect_left(earlier, number, key=attrgetter("number"))
    n_visible = max(end - (visibility_lag - 1), 0)
    long = _too_long_to_wait_for(earlier[:end], n_visible=n_visible, factor=_WORK_PER_LAG * visibility_lag)
    if not long:
        return earlier[:n_visible], earlier[n_visible:end]
    visible = [trial for place, trial in enumerate(earlier[:n_visible]) if place not in long]
    return visible, [*(earlier[place] for place in sorted(long)), *earlier[n_visible:end]]


def _too_long_to_wait_for(trainings: Sequence[TrialView], *, n_visible: int, factor: float) -> set[int]:
    """Returns the places, among the first `n_visible` trainings, of those after which too little work came."""
    found, work_s = set[int](), 0.0
    for place in range(len(trainings) - 1, max(len(trainings) - _MOST, -1), -1):
        expected_s = trainings[place].expected_s or 0.0
        if place < n_visible and work_s < factor * expected_s:
            found.add(place)
        work_s += expected_s
    return found


def handed_out(trials: Sequence[TrialView]) -> list[TrialView]:
    """Returns the trials that were given to a worker; not to be changed."""
    return _HANDED_OUT.of(trials)


def _with_handed_out(before: list[TrialView], trials: Sequence[TrialView]) -> list[TrialView]:
    return [*before, *filter(attrgetter("was_handed_out"), trials)]


_HANDED_OUT = Fold[TrialView, list[TrialView]]([], _with_handed_out)
