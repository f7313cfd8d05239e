"""Which member of the front is trained again, so that luck does not decide."""

from collections import Counter
from collections.abc import Sequence

from nasfuse.search.front import Objectives, candidates_of, front_of
from nasfuse.search.trial import TrialView


def next_repetition(
    trials: Sequence[TrialView], objectives: Objectives, *, repeats: int
) -> tuple[TrialView, int] | None:
    """Returns the first training of the member to repeat, and on which cut; None where all are confirmed.

    The member with the fewest trainings, the costliest of equals. What has only started from inherited weights has
    none: it comes first where it would be on the front, whose other members are confirmed whether it beats them or
    not. Repetitions that run or failed count for it, or one that always fails would be repeated for ever.

    Args:
        trials: Of the study, by number.
        objectives: Of the study.
        repeats: Trainings behind a confirmed member.
    """
    others = Counter(t.repeat_of for t in trials if (t.is_running or t.is_failed) and not t.is_void)
    candidates = candidates_of(trials, with_inherited=True)
    promising = [candidate for candidate in front_of(candidates, objectives) if not candidate.trainings]
    front = front_of([candidate for candidate in candidates if candidate.trainings], objectives)
    members = []
    for index, member in enumerate([*front, *promising]):
        repeated = trials[member.trial].repeat_of
        first = member.trial if repeated is None else repeated  # an inherited training comes before
        members.append((len(member.trainings) + others[first], -index, first))
    fewest, _, number = min(members, default=(repeats, 0, 0))
    return (trials[number], fewest) if fewest < repeats else None
