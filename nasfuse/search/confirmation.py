"""Confirmation: repeated trainings of members of the front, which average out the randomness of training."""

from collections import Counter
from collections.abc import Callable, Sequence

from nasfuse.search.fold import Fold
from nasfuse.search.front import Candidate, Objectives, allowed_candidates, best, front_of
from nasfuse.search.trial import TrialView


def next_repetition(
    trials: Sequence[TrialView],
    objectives: Objectives,
    *,
    repeats: int,
    fits: Callable[[TrialView], bool] = lambda _: True,
) -> tuple[TrialView, int] | None:
    """Returns the training to repeat, and the index of the train/val division to use; None if there is none.

    A recipe that was only trained from inherited weights and whose result would be on the front is trained from scratch
    first. Then the member with the best metric is repeated until it is confirmed, so that the best point of a search is
    no lucky one. Of the others, the one with the fewest trainings is next, and of several the one without which the
    front would lose most hypervolume: a member that is hardly better than a cheaper one, or hardly cheaper than a
    better one, is likely to leave the front anyway. Repetitions that are running or have failed are counted, so that a
    recipe that always fails is not repeated forever.

    Args:
        trials: All trials of the study, by number.
        objectives: Objectives of the study.
        repeats: Trainings required to confirm a member.
        fits: Returns whether there is time to repeat a training.
    """
    others = _UNMEASURED.of(trials)
    front = front_of(allowed_candidates(trials, objectives), objectives)
    with_inherited = front_of(allowed_candidates(trials, objectives, with_inherited=True), objectives)
    promising = [candidate for candidate in with_inherited if not candidate.trainings]

    def of(member: Candidate) -> tuple[int, int]:
        """Returns the number of trainings of a member, with those under way or failed, and its first trial."""
        repeated = trials[member.trial].repeat_of
        first = member.trial if repeated is None else repeated  # the first training may have inherited weights
        return len(member.trainings) + others[first], first

    unconfirmed = [member for member in (*promising, *front) if of(member)[0] < repeats]
    unconfirmed = [member for member in unconfirmed if fits(trials[of(member)[1]])]
    if not unconfirmed:
        return None
    top = best(front, objectives) if front else None

    def rank(member: Candidate) -> tuple[bool, bool, int]:
        return bool(member.trainings), member is not top, of(member)[0]

    first_rank = min(map(rank, unconfirmed))
    tied = [member for member in unconfirmed if rank(member) == first_rank]
    chosen = max(tied, key=lambda member: _contribution(member, front, objectives)) if len(tied) > 1 else tied[0]
    count, first = of(chosen)
    return trials[first], count


def _with_unmeasured(before: Counter[int | None], trials: Sequence[TrialView]) -> Counter[int | None]:
    """Returns the trainings under way or failed, by the one that they repeat, with further trials."""
    return before + Counter(one.repeat_of for one in trials if (one.is_running or one.is_failed) and not one.is_void)


_UNMEASURED = Fold[TrialView, Counter[int | None]](Counter(), _with_unmeasured)


def _contribution(member: Candidate, front: Sequence[Candidate], objectives: Objectives) -> float:
    """Returns the hypervolume that the front loses without `member`."""
    rest = [one for one in front if one is not member]
    return objectives.hypervolume([*rest, member]) - objectives.hypervolume(rest)
