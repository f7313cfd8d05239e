"""The hypervolume of a search over time and over epochs."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

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
    epochs, volume = 0, 0.0
    for position, trial in enumerate(ended, start=1):
        epochs += epochs_of(trial)[0]
        if trial.is_complete:  # only the points of its recipe change
            same = of_recipe[trial.recipe_hash]
            same.append(trial)
            fronts[trial.recipe_hash] = front_of(allowed_candidates(same, objectives), objectives)
            volume = objectives.hypervolume([one for front in fronts.values() for one in front])
        found.append(Milestone(trial.number, busy_seconds(ended[:position]), epochs, volume))
    return found


def busy_seconds(trials: Iterable[TrialView]) -> float:
    """Returns the time in which at least one of the ended `trials` was running, in seconds."""
    spans = sorted((trial.frozen.datetime_start, _end(trial)) for trial in trials if trial.frozen.datetime_start)
    total, until = 0.0, datetime.min
    for start, end in spans:
        if end > until:
            total += (end - max(start, until)).total_seconds()
            until = end
    return total


def _end(trial: TrialView) -> datetime:
    assert trial.frozen.datetime_complete is not None, "a training that has ended"
    return trial.frozen.datetime_complete
