"""Training data of the surrogates: the trials of a study as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

from nasfuse.search.samplers.domain import Array, Domain
from nasfuse.search.stopping.extrapolation import LARGEST, Extrapolation
from nasfuse.search.trial import TrialView
from nasfuse.search.views import trials_of


@dataclass(frozen=True)
class Observations:
    """The trials of a study as arrays, in the order of the trials; both objectives are minimised.

    Attributes:
        rows: Shape (n, p), rows of the trials with a result.
        errors: Shape (n,), first objective, finite; extrapolated for stopped trainings.
        doubts: Shape (n,), variance of the extrapolation; 0 for measured errors.
        costs: Shape (n,), second objective, finite.
        inherited: Shape (n,), whether the training started from weights of earlier ones.
        finished: Shape (n,), whether the error was measured at the end of the training.
        failed: Shape (f, p), rows of the trials without a usable result.
        pending: Shape (m, p), rows of the running trials.
        n_trainings: Number of trainings with a result; trials that are operating points are not counted.
        n_full: Number of complete trainings among them.
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

    @classmethod
    def from_study(cls, study: Study, domain: Domain, *, besides: FrozenTrial) -> "Observations":
        """Returns the observations of all trials of `study` but `besides`, the trial that is being suggested."""
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
        return cls(
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

    @property
    def taken(self) -> set[bytes]:
        """Rows, as bytes, of all trials that have ended or are running."""
        return {row.tobytes() for rows in (self.rows, self.failed, self.pending) for row in rows}


def _result(trial: TrialView, extrapolation: Extrapolation) -> tuple[float, float, float] | None:
    """Returns metric, its variance and log cost, extrapolated for a stopped training; None without a usable result."""
    if trial.is_complete:
        found = (trial.metric, 0.0, trial.log_cost)
    elif trial.is_stopped and (at := trial.stopped) is not None and at.metric is not None:
        error, doubt = extrapolation.end(
            epoch=at.epoch, epochs=at.epochs, metric=at.metric, inherited=trial.is_inherited
        )
        found = (error, doubt, at.log_cost)
    else:
        return None
    return found if (np.abs(found) < LARGEST).all() else None


def _table(rows: Sequence[Array], n_columns: int) -> Array:
    return np.array(rows, dtype=np.float64).reshape(-1, n_columns)
