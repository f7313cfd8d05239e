"""Failures that one trial after another shares: their cause lies in the study, the data or the machine."""

import re
from collections.abc import Sequence
from itertools import takewhile

import optuna

from nasfuse.search.study_attributes import StudyAttributes
from nasfuse.search.trial import TrialView, trials_of

#: Different recipes in a row that fail in the same way before a search ends.
EQUAL_FAILURES = 5

#: Different recipes that fail, in whatever ways, before the first success, before a search ends. A recipe of its own
#: can be at fault for numbers that are not finite or for too little memory, so only this limit counts such failures.
FIRST_FAILURES = 10

_OWN_FAULTS = re.compile(r"NonFiniteError|the measurements are not finite|(torch\.)?OutOfMemoryError|MemoryError")

_NUMBER = re.compile(r"0x[0-9a-f]{6,}|\d+(\.\d+)?(e[+-]?\d+)?")


def recurring_failures(trials: Sequence[TrialView]) -> list[TrialView]:
    """Returns the last trainings of a study, by number, if too many of them failed in a row; else none.

    Failures are equal whose reasons differ in numbers only. Several trainings of one recipe count as one. Trainings
    that are under way do not interrupt a row, so that the number of workers hardly matters.

    Args:
        trials: Of the study, by number.
    """
    ended = [trial for trial in trials if trial.was_trained]
    row = list(takewhile(lambda trial: trial.is_failed, reversed(ended)))
    if not row:
        return []
    if len(row) == len(ended) and _n_recipes(row) >= FIRST_FAILURES:
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


def kind_of(failed: TrialView) -> str:
    """Returns why a trial failed, with `#` for every number."""
    return _NUMBER.sub("#", failed.reason)


def _n_recipes(trials: Sequence[TrialView]) -> int:
    return len({trial.recipe_hash for trial in trials})
