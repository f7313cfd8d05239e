"""Confirmation: repeated trainings of members of the front, which average out the randomness of training."""

from collections import Counter
from collections.abc import Sequence

from nasfuse.search.front import Objectives, candidates_of, front_of
from nasfuse.search.trial import TrialView


def next_repetition(
    trials: Sequence[TrialView], objectives: Objectives, *, repeats: int
) -> tuple[TrialView, int] | None:
    """Returns the training to repeat, and the index of the train/val division to use; None if all are confirmed.

    The member with the fewest trainings is repeated; of several, the one with the highest cost. A recipe that was only
    trained from inherited weights counts as having no training, and is repeated first if its result would be on the
    front. Repetitions that are running or have failed are counted, so that a recipe that always fails is not
    repeated forever.

    Args:
        trials: All trials of the study, by number.
        objectives: Objectives of the study.
        repeats: Trainings required to confirm a member.
    """
    others = Counter(t.repeat_of for t in trials if (t.is_running or t.is_failed) and not t.is_void)
    candidates = candidates_of(trials, max_macs=objectives.max_macs, with_inherited=True)
    promising = [candidate for candidate in front_of(candidates, objectives) if not candidate.trainings]
    front = front_of([candidate for candidate in candidates if candidate.trainings], objectives)
    members = []
    for index, member in enumerate([*front, *promising]):
        repeated = trials[member.trial].repeat_of
        first = member.trial if repeated is None else repeated  # the first training may have inherited weights
        members.append((len(member.trainings) + others[first], -index, first))
    fewest, _, number = min(members, default=(repeats, 0, 0))
    return (trials[number], fewest) if fewest < repeats else None
