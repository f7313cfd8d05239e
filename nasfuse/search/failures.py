"""Failures that one trial after another shares: their cause lies in the study, the data or the machine."""

import re
from collections.abc import Sequence
from itertools import takewhile

from optuna.trial import FrozenTrial, TrialState

from nasfuse.search.trainings import was_trained

#: Different recipes in a row that fail in the same way before a search ends.
EQUAL_FAILURES = 5

#: Different recipes that fail, in whatever ways, before the first success, before a search ends. A recipe of its own
#: can be at fault for numbers that are not finite or for too little memory, so only this limit counts such failures.
FIRST_FAILURES = 10

_OWN_FAULTS = re.compile(r"NonFiniteError|the measurements are not finite|(torch\.)?OutOfMemoryError|MemoryError")

_NUMBER = re.compile(r"0x[0-9a-f]+|\d+(\.\d+)?(e[+-]?\d+)?")


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


def kind_of(failed: FrozenTrial) -> str:
    """Returns why a trial failed, with `#` for every number."""
    return _NUMBER.sub("#", str(failed.user_attrs.get("reason", "")))


def _n_recipes(trials: Sequence[FrozenTrial]) -> int:
    return len({trial.user_attrs["recipe_hash"] for trial in trials})
