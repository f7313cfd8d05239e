"""The models without a search that are kept with a run, and what the search gained over them."""

import json
import statistics
from dataclasses import dataclass

from pydantic import TypeAdapter

from nasfuse.domain.metric import METRICS, metric_text
from nasfuse.errors import RunFolderError, counted
from nasfuse.experiment.run_folder import RunFolder
from nasfuse.search.front import Candidate


@dataclass(frozen=True)
class PlainScores:
    """Validation metrics of models without a search, one for each division of the data into train and val.

    Attributes:
        metric: Name of the metric.
        constant: Metrics of the best constant prediction.
        linear: Metrics of a linear model.
    """

    metric: str
    constant: tuple[float, ...]
    linear: tuple[float, ...]

    def mean(self, model: str) -> float:
        """Returns the mean over the divisions of `constant` or `linear`."""
        return statistics.fmean(getattr(self, model))


def read_plain_scores(folder: RunFolder) -> PlainScores | None:
    """Returns what `keep_plain_scores` wrote; None before the end of a search.

    Raises:
        RunFolderError: The file is damaged.
    """
    if not folder.plain_models_file.is_file():
        return None
    try:
        content = json.loads(folder.plain_models_file.read_text(encoding="utf-8"))
        scores: PlainScores = TypeAdapter(PlainScores).validate_python(content)
        if scores.metric not in METRICS or not scores.constant or not scores.linear:
            raise ValueError("no metric of this name, or no value")
        return scores
    except ValueError as error:
        raise RunFolderError(
            f"{folder.plain_models_file} is damaged; remove it, and the search command or `nasfuse report` writes it "
            "again"
        ) from error


def against_linear_model(best: Candidate, scores: PlainScores) -> str:
    """Returns a sentence on whether the best point of a front is better than a linear model, on validation data."""
    metric, own, linear = scores.metric, best.measured.metric, scores.mean("linear")
    gain = METRICS[metric].sign * (linear - own)
    if gain > 0:
        verdict = f"is better by {metric_text(gain)} than"
    elif gain == 0:
        verdict = "is level with"
    else:
        verdict = f"is worse by {metric_text(-gain)} than"
    point = f"{metric} {metric_text(own)}{_mean_of(len(best.trainings), 'training')}"
    model = f"{metric_text(linear)}{_mean_of(len(scores.linear), 'division')}"
    text = f"The best point ({point}) {verdict} a linear model ({model})"
    if gain < 0:
        return f"{text}; search longer, or use the linear model."
    return f"{text}."


def _mean_of(count: int, noun: str) -> str:
    """Returns that a metric is a mean over as many trainings, or divisions of the data into train and val."""
    return f", mean of {counted(count, noun)}" if count > 1 else ""
