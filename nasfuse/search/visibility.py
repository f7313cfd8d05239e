"""Visibility: on the results of which trainings a further trial may depend."""

from collections.abc import Sequence

from nasfuse.search.trial import TrialView

#: Trainings that may be under way without the study depending on how many are. With more, suggestions know less; with
#: fewer, workers wait for the oldest training, and some take ten times as long as others: two workers were busy 87 % of
#: the time with 4, and 98 % with 8, where durations are those of avdigits.
LAG = 8


def lag_of(*, workers: int, n_trials: int | None) -> int:
    """Returns how many trainings may be under way in a study that starts with so many workers.

    Twice as many as there are workers, so that they seldom wait for the oldest training, but at most half of the
    study: a suggestion that sees no results is a random one. At least one for every worker.

    Args:
        workers: Trials at a time.
        n_trials: Budget of the study; None where only time limits it.
    """
    most = 2 * workers if n_trials is None else max(workers, n_trials // 2)
    return max(LAG, min(2 * workers, most))


def by_visibility(
    trials: Sequence[TrialView], *, lag: int, number: int | None = None
) -> tuple[list[TrialView], list[TrialView]]:
    """Returns the trainings that a trial may depend on, and those before it that it may not.

    A trial depends on all trainings before it but the last `lag` - 1, whose results may or may not be there when it
    is handed out, depending on how many workers there are and how long trainings take.

    Args:
        trials: Of the study, by number.
        lag: Trainings that may be under way: the last has begun and the first has not ended.
        number: Of the trial; None for one that is still to come.
    """
    earlier = [trial for trial in trials if trial.was_handed_out and (number is None or trial.number < number)]
    n_visible = max(len(earlier) - (lag - 1), 0)
    return earlier[:n_visible], earlier[n_visible:]
