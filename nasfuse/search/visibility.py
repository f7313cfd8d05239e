"""Which trials of a study are trainings, and whose results a further trial may depend on."""

from collections.abc import Sequence

from optuna.trial import FrozenTrial, TrialState

#: Trainings that may be under way without the study depending on how many are. With more, suggestions know less; with
#: fewer, workers wait for the oldest training, and some take ten times as long as others: two workers were busy 87 % of
#: the time with 4, and 98 % with 8, where durations are those of avdigits.
LAG = 8

#: User attributes that a trial gets after it was handed out.
RESULTS = frozenset({"points", "record", "rungs", "stopped", "reason", "from_scratch"})


def was_handed_out(trial: FrozenTrial) -> bool:
    """Returns whether a trial was given to a worker, so it was neither too costly nor no network.

    A trial marked `void` is as good as never handed out: see `void_failures`.
    """
    too_costly = trial.state is TrialState.PRUNED and "stopped" not in trial.user_attrs
    return "recipe_hash" in trial.user_attrs and not too_costly and "void" not in trial.user_attrs


def was_trained(trial: FrozenTrial) -> bool:
    """Returns whether a trial has spent budget: it was handed out and has ended, well or not, early or not."""
    return was_handed_out(trial) and trial.state.is_finished()


def is_inherited(trial: FrozenTrial) -> bool:
    """Returns whether streams of a training, or of that of an operating point, started from weights of earlier ones.

    Its attribute `inherited` names them; `from_scratch` says why it could not have them after all.
    """
    return bool(trial.user_attrs.get("inherited")) and "from_scratch" not in trial.user_attrs


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
    trials: Sequence[FrozenTrial], *, lag: int, number: int | None = None
) -> tuple[list[FrozenTrial], list[FrozenTrial]]:
    """Returns the trainings that a trial may depend on, and those before it that it may not.

    A trial depends on all trainings before it but the last `lag` - 1, whose results may or may not be there when it
    is handed out, depending on how many workers there are and how long trainings take.

    Args:
        trials: Of the study, by number.
        lag: Trainings that may be under way: the last has begun and the first has not ended.
        number: Of the trial; None for one that is still to come.
    """
    earlier = [trial for trial in trials if was_handed_out(trial) and (number is None or trial.number < number)]
    n_visible = max(len(earlier) - (lag - 1), 0)
    return earlier[:n_visible], earlier[n_visible:]
