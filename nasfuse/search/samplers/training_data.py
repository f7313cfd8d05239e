"""Observations: what the storage of a study says about its domain."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

from nasfuse.search.samplers.domain import Array, Domain
from nasfuse.search.stopping.extrapolation import LARGEST, Extrapolation
from nasfuse.search.trial import TrialView, trials_of


@dataclass(frozen=True)
class Observations:
    """The trials of a study in numbers, in their order; both objectives are minimised.

    Attributes:
        rows: Shape (n, p), what was observed.
        errors: Shape (n,), finite.
        doubts: Shape (n,), variance of the errors around what was measured: of a stopped training, whose error is
            extrapolated.
        costs: Shape (n,), finite.
        inherited: Shape (n,), whether the training started from weights of earlier ones.
        finished: Shape (n,), whether the error was measured at the end; of a stopped training it is extrapolated.
        failed: Shape (f, p), what was tried and has no result.
        pending: Shape (m, p), what is running.
        n_trainings: How many trainings there are; an operating point is none of its own.
        n_full: How many of them came to their end.
    """

    rows: Array
    errors: Array
    doubts: Array
    costs: Array
    inherited: NDArray[np.bool_]
    finished: NDArray[np.bool_]
    failed: Array
    pending: Array
    n_trainings: int
    n_full: int

    @property
    def taken(self) -> set[bytes]:
        """What need not be suggested again: the rows of all that was tried or is running."""
        return {row.tobytes() for rows in (self.rows, self.failed, self.pending) for row in rows}


def observations_of(study: Study, domain: Domain, *, besides: FrozenTrial) -> Observations:
    """Returns what the storage knows about `domain`, without the trial `besides`, which is asking."""
    signs = np.array([1.0 if one is StudyDirection.MINIMIZE else -1.0 for one in study.directions])
    observed: list[tuple[Array, float, float, float, bool, bool]] = []
    failed: list[Array] = []
    pending: list[Array] = []
    n_trainings = n_full = 0
    trials = trials_of(study)
    extrapolation = Extrapolation(trials, sign=signs[0])
    for trial in trials:
        row = None if trial.number == besides.number else domain.row(trial.params)
        if row is None:
            continue
        result = _result(trial, extrapolation)
        if trial.is_running:
            pending.append(row)
        elif result is not None:
            error, doubt, cost = result
            observed.append((row, signs[0] * error, doubt, signs[1] * cost, trial.is_inherited, trial.is_complete))
            n_trainings += not trial.is_operating_point
            n_full += trial.is_complete and not trial.is_operating_point
        elif (trial.is_failed or trial.is_complete) and not trial.is_void:
            failed.append(row)
    numbers = np.array([one[1:] for one in observed], dtype=np.float64).reshape(-1, 5)
    n_columns = len(domain.columns)
    return Observations(
        rows=_table([row for row, *_ in observed], n_columns),
        errors=numbers[:, 0],
        doubts=numbers[:, 1],
        costs=numbers[:, 2],
        inherited=numbers[:, 3] == 1,
        finished=numbers[:, 4] == 1,
        failed=_table(failed, n_columns),
        pending=_table(pending, n_columns),
        n_trainings=n_trainings,
        n_full=n_full,
    )


def _result(trial: TrialView, extrapolation: Extrapolation) -> tuple[float, float, float] | None:
    """Returns error, its doubt and cost as they were told, or would have been; None without a usable result."""
    if trial.is_complete:
        found = (trial.metric, 0.0, trial.log_cost)
    elif trial.is_stopped and (at := trial.stopped) is not None:
        error, doubt = extrapolation.end(
            epoch=at.epoch, epochs=at.epochs, metric=at.metric, inherited=trial.is_inherited
        )
        found = (error, doubt, at.log_cost)
    else:
        return None
    return found if (np.abs(found) < LARGEST).all() else None


def _table(rows: Sequence[Array], n_columns: int) -> Array:
    return np.array(rows, dtype=np.float64).reshape(-1, n_columns)
