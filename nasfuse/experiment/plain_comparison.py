"""The models without a search that are kept with a run, and what the search gained over them."""

import json
from dataclasses import asdict
from functools import partial

from pydantic import TypeAdapter

from nasfuse.domain.metric import METRICS, metric_text
from nasfuse.errors import RunFolderError, counted
from nasfuse.experiment.countdown import Countdown, TimeSpentError
from nasfuse.experiment.objective import cached_dataset
from nasfuse.experiment.plain_models import PlainScores, plain_scores
from nasfuse.experiment.run_folder import RunFolder, write_text
from nasfuse.search.front import Candidate
from nasfuse.spec.study import StudyConfig


def keep_plain_scores(folder: RunFolder, study: StudyConfig, *, countdown: Countdown) -> bool:
    """Writes the validation metrics of the models without a search to `plain_models.json`, unless they are there.

    Returns:
        Whether there was time for it.
    """
    if not folder.plain_models_file.is_file():
        dataset_of = partial(cached_dataset, study.data.model_dump_json())
        repeats = study.budget.repeats
        try:
            scores = plain_scores(
                dataset_of, study.data, metric=study.objective, n_divisions=repeats, countdown=countdown
            )
        except TimeSpentError:
            return False
        write_text(folder.plain_models_file, json.dumps(asdict(scores), indent=2))
    return True


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
