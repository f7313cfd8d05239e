"""Failures that one trial after another shares: their cause lies in the study, the data or the machine."""

import copy
import re
from collections.abc import Container, Sequence
from itertools import takewhile

import optuna
from optuna.trial import FrozenTrial, TrialState

from nasfuse.search.visibility import was_trained
from nasfuse.search.write_through import Mirror

#: Different recipes in a row that fail in the same way before a search ends.
EQUAL_FAILURES = 5

#: Different recipes that fail, in whatever ways, before the first success, before a search ends. A recipe of its own
#: can be at fault for numbers that are not finite or for too little memory, so only this limit counts such failures.
FIRST_FAILURES = 10

_OWN_FAULTS = re.compile(r"NonFiniteError|the measurements are not finite|(torch\.)?OutOfMemoryError|MemoryError")

_NUMBER = re.compile(r"0x[0-9a-f]{6,}|\d+(\.\d+)?(e[+-]?\d+)?")


def recurring_failures(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Returns the last trainings of a study, by number, if too many of them failed in a row; else none.

    Failures are equal whose reasons differ in numbers only. Several trainings of one recipe count as one. Trainings
    that are under way do not interrupt a row, so that the number of workers hardly matters.

    Args:
        trials: Of the study, by number.
    """
    ended = [trial for trial in trials if was_trained(trial)]
    row = list(takewhile(lambda trial: trial.state is TrialState.FAIL, reversed(ended)))
    if not row:
        return []
    if len(row) == len(ended) and _n_recipes(row) >= FIRST_FAILURES:
        return row[::-1]
    kind = kind_of(row[0])
    equal = list(takewhile(lambda trial: kind_of(trial) == kind, row))
    is_own_fault = _OWN_FAULTS.match(kind) is not None
    return equal[::-1] if _n_recipes(equal) >= EQUAL_FAILURES and not is_own_fault else []


def void_failures(study: optuna.Study, mirror: Mirror) -> None:
    """Takes the recurring failures at the end of a study, if there are any, out of its budget, for good.

    They count as if they had never been handed out: their cause may have been removed. Finished trials cannot be
    changed, so the study's attribute `void` lists their numbers; in memory they have an attribute of that name.

    Args:
        study: Opened anew.
        mirror: Where it lives.
    """
    numbers = set(study.user_attrs.get("void", []))
    mirror.mark(study._study_id, numbers, "void")
    recurring = {trial.number for trial in recurring_failures(study.get_trials(deepcopy=False))}
    if recurring:
        mirror.mark(study._study_id, recurring, "void")
        study.set_user_attr("void", sorted(numbers | recurring))


def with_void(trials: Sequence[FrozenTrial], numbers: Container[int]) -> list[FrozenTrial]:
    """Returns trials that were read from a storage, those of `numbers` with the attribute `void`."""
    found = []
    for trial in trials:
        if trial.number in numbers:
            trial = copy.copy(trial)
            trial.user_attrs = {**trial.user_attrs, "void": True}
        found.append(trial)
    return found


def kind_of(failed: FrozenTrial) -> str:
    """Returns why a trial failed, with `#` for every number."""
    return _NUMBER.sub("#", str(failed.user_attrs.get("reason", "")))


def _n_recipes(trials: Sequence[FrozenTrial]) -> int:
    return len({trial.user_attrs["recipe_hash"] for trial in trials})
