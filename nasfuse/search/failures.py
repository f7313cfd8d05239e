"""Recurring failures: many trainings in a row that fail for a reason that is not specific to their recipes."""

import math
import re
from collections.abc import Sequence
from itertools import takewhile

import optuna

from nasfuse.domain.operating_point import Measurements
from nasfuse.search.study_attributes import StudyAttributes
from nasfuse.search.trial import TrialView, enqueue_again
from nasfuse.search.views import trials_of

#: Number of different recipes that fail in a row with the same reason before the search ends.
EQUAL_FAILURES = 5

#: Number of different recipes that fail before the first success, with any reasons, before the search ends. Values that
#: are not finite and lack of memory can be specific to a recipe, so they count towards this limit only.
FIRST_FAILURES = 10

_OWN_FAULTS = re.compile(
    r"NonFiniteError|the measurements are not finite|(torch\.)?OutOfMemoryError|MemoryError"
    r"|RuntimeError: .*(can't allocate memory|out of memory)"
)

_NUMBER = re.compile(r"0x[0-9a-f]{6,}|\d+(\.\d+)?(e[+-]?\d+)?")


def recurring_failures(trials: Sequence[TrialView]) -> list[TrialView]:
    """Returns the last trainings of a study if too many of them failed in a row, by number; otherwise none.

    Two reasons are equal if they differ only in numbers. Several trainings of one recipe count once. Trainings that
    are still running do not interrupt a row, so the result depends little on the number of workers.

    Args:
        trials: All trials of the study, by number.
    """
    ended = (trial for trial in reversed(trials) if trial.was_trained)
    row = list(takewhile(lambda trial: trial.is_failed, ended))
    if not row:
        return []
    if len(row) == sum(trial.was_trained for trial in trials) and _n_recipes(row) >= FIRST_FAILURES:
        return row[::-1]
    kind = kind_of(row[0])
    equal = list(takewhile(lambda trial: kind_of(trial) == kind, row))
    is_own_fault = _OWN_FAULTS.match(kind) is not None
    return equal[::-1] if _n_recipes(equal) >= EQUAL_FAILURES and not is_own_fault else []


def void_failures(study: optuna.Study) -> None:
    """Takes the recurring failures at the end of a study, if there are any, out of its budget for good.

    They count as if they had never been handed out, because their cause may have been removed. Finished trials cannot
    be changed in the storage, so their numbers are kept in an attribute of the study.

    Args:
        study: A study that is being continued.
    """
    recurring = {trial.number for trial in recurring_failures(trials_of(study))}
    if recurring:
        attributes = StudyAttributes(study)
        attributes.void = attributes.void | recurring


def retry_failures(study: optuna.Study) -> None:
    """Enqueues all trainings that failed once more.

    The failed trials count as if they had never been handed out.

    Args:
        study: A study that is being continued.
    """
    failed = [trial for trial in trials_of(study) if trial.was_trained and trial.is_failed]
    attributes = StudyAttributes(study)
    attributes.void = attributes.void | {trial.number for trial in failed}
    for trial in failed:
        enqueue_again(study, trial)


def kind_of(failed: TrialView) -> str:
    """Returns the reason of a failed trial, with every number replaced by `#`."""
    return _NUMBER.sub("#", failed.reason)


def _n_recipes(trials: Sequence[TrialView]) -> int:
    return len({trial.recipe_hash for trial in trials})


def problem_of(measurements: Measurements) -> str | None:
    """Returns why a training with these measurements has failed; None if it has not."""
    if not measurements.points:
        return "it measured no operating point"
    for point in [point for point in measurements.points if point.holds]:
        for name, value in (*point.to_plain().items(), *point.costs.items()):
            if isinstance(value, int | float) and not math.isfinite(value):
                return f"the measurements are not finite: {name} is {value}"
    return None
