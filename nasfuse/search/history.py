"""The hypervolume of a search over time and over epochs."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain

from nasfuse.search.front import Candidate, Objectives, allowed_candidates, front_of
from nasfuse.search.progress import epochs_of
from nasfuse.search.trial import TrialView

#: What a hypervolume is, in one sentence.
HYPERVOLUME = (
    "The hypervolume is the area between a front and its reference point, the metric of a constant prediction at the "
    "largest cost, in units of the metric times decades of cost: the larger, the better the front as a whole."
)


@dataclass(frozen=True)
class Milestone:
    """State of a search when a training has ended.

    Attributes:
        trial: Number of the training.
        seconds: Time in which trainings were running until then; pauses between sessions are left out.
        epochs: Epochs that all complete and stopped trainings had run until then.
        hypervolume: Hypervolume of the front of single networks.
    """

    trial: int
    seconds: float
    epochs: int
    hypervolume: float


def hypervolume_history(trials: Sequence[TrialView], objectives: Objectives) -> list[Milestone]:
    """Returns a milestone for each complete or stopped training, in the order in which they ended.

    The hypervolume may fall, because a repeated training replaces the metric of a point by a mean.
    """
    ended = sorted((one for one in trials if one.was_trained and not one.is_failed), key=_end)
    found: list[Milestone] = []
    of_recipe: dict[str, list[TrialView]] = defaultdict(list)
    fronts: dict[str, list[Candidate]] = {}
    front: list[Candidate] = []
    epochs, volume = 0, 0.0
    for trial, seconds in zip(ended, busy_seconds(ended), strict=True):
        epochs += epochs_of(trial)[0]
        if trial.is_complete:  # only the points of its recipe change
            same = of_recipe[trial.recipe_hash]
            same.append(trial)
            own = fronts[trial.recipe_hash] = front_of(allowed_candidates(same, objectives), objectives)
            is_first = len(same) == 1
            front = front_of([*front, *own] if is_first else [*chain.from_iterable(fronts.values())], objectives)
            volume = objectives.hypervolume(front)
        found.append(Milestone(trial.number, seconds, epochs, volume))
    return found


def busy_seconds(trials: Iterable[TrialView]) -> list[float]:
    """Returns the time in which at least one of `trials` was running, in seconds, until the end of each of them.

    Args:
        trials: Trials that have ended, in the order of their ends.
    """
    found: list[float] = []
    spans: list[tuple[datetime, datetime]] = []  # disjoint, in order
    total = timedelta()
    for trial in trials:
        end = _end(trial)
        start = trial.frozen.datetime_start or end
        while spans and spans[-1][1] >= start:
            earlier, its_end = spans.pop()
            total -= its_end - earlier
            start = min(start, earlier)
        spans.append((start, end))
        total += end - start
        found.append(total.total_seconds())
    return found


def _end(trial: TrialView) -> datetime:
    assert trial.frozen.datetime_complete is not None, "a training that has ended"
    return trial.frozen.datetime_complete
