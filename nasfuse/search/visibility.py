"""Visibility: on the results of which trainings a further trial may depend."""

import bisect
import math
from collections.abc import Sequence
from operator import attrgetter

from nasfuse.search.fold import Fold
from nasfuse.search.trial import TrialView

#: Default number of trainings that may be under way at once without changing what is suggested. With a larger number,
#: suggestions use fewer results; with a smaller one, workers wait for the oldest training, and some trainings take ten
#: times as long as others: two workers were busy 87 % of the time with 4, and 98 % with 8, for the durations of the
#: avdigits study.
DEFAULT_VISIBILITY_LAG = 8

#: The result of a training that is expected to take r times as long as short ones is waited for only after `_PER_RATIO`
#: times r times the lag of the study, in further trainings, and after `_MOST` at most. Otherwise all workers would wait
#: for a training that takes as long as twenty others.
_PER_RATIO, _MOST = 0.25, 60

#: Least time of what counts as a short training, as a share of the time of the study.
_LEAST_SHORT = 1 / 60


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


def own_visibility_lag(seconds: float, *, short_s: float, budget_s: float, visibility_lag: int) -> int | None:
    """Returns the visibility lag of a training; None for that of the study, unless it takes much longer than others.

    Args:
        seconds: Expected time of the training.
        short_s: Expected time of short trainings.
        budget_s: Time of the study.
        visibility_lag: Lag of the study.
    """
    ratio = seconds / max(short_s, _LEAST_SHORT * budget_s)
    lag = min(math.ceil(_PER_RATIO * ratio * visibility_lag), _MOST)
    return lag if lag > visibility_lag else None


def split_by_visibility(
    trials: Sequence[TrialView], *, visibility_lag: int, number: int | None = None
) -> tuple[list[TrialView], list[TrialView]]:
    """Returns the trainings whose results a trial may depend on, and the other trainings before it.

    A trial depends on all trainings before it except the last `visibility_lag` - 1, and except long ones before these
    whose own lag has not passed. Whether those have ended when the trial is handed out depends on the number of workers
    and on how long trainings take.

    Args:
        trials: All trials of the study, by number.
        visibility_lag: Trainings that may be under way at once, but for long ones.
        number: Number of the trial; None for the next one.
    """
    earlier = handed_out(trials)
    end = len(earlier) if number is None else bisect.bisect_left(earlier, number, key=attrgetter("number"))
    n_visible = max(end - (visibility_lag - 1), 0)
    first = max(end - (_MOST - 1), 0)
    older = range(min(first, n_visible), n_visible)
    long = {place for place in older if place + (earlier[place].visibility_lag or 0) > end}
    if not long:
        return earlier[:n_visible], earlier[n_visible:end]
    visible = [trial for place, trial in enumerate(earlier[:n_visible]) if place not in long]
    return visible, [*(earlier[place] for place in sorted(long)), *earlier[n_visible:end]]


def handed_out(trials: Sequence[TrialView]) -> list[TrialView]:
    """Returns the trials that were given to a worker; not to be changed."""
    return _HANDED_OUT.of(trials)


def _with_handed_out(before: list[TrialView], trials: Sequence[TrialView]) -> list[TrialView]:
    return [*before, *filter(attrgetter("was_handed_out"), trials)]


_HANDED_OUT = Fold[TrialView, list[TrialView]]([], _with_handed_out)
