"""Adapter for the names of Optuna that are not part of its public interface.

No other module of nasfuse uses a name of Optuna that begins with an underscore. If a new version of Optuna moves one
of them, only this module has to change.
"""

import copy
from collections.abc import Mapping
from typing import Any

from optuna.distributions import FloatDistribution, IntDistribution
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.study import Study
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, Trial

__all__ = [
    "EditableStorage",
    "FrozenStudy",
    "contains",
    "forget_cached_trials",
    "storage_of",
    "study_id_of",
    "trial_id_of",
]


def study_id_of(study: Study | FrozenStudy) -> int:
    """Returns the identifier of `study` in its storage."""
    return study._study_id


def trial_id_of(trial: Trial | FrozenTrial) -> int:
    """Returns the identifier of `trial` in its storage."""
    return trial._trial_id


def storage_of(study: Study) -> BaseStorage:
    """Returns the storage that `study` reads and writes."""
    return study._storage


def contains(distribution: IntDistribution | FloatDistribution, value: float) -> bool:
    """Returns whether `value` is in the range of `distribution` and on its grid, if it has a step."""
    return bool(distribution._contains(value))


def forget_cached_trials(study: Study) -> None:
    """Clears the trials that `study` keeps for samplers from one `ask` to the next, so that they are read again."""
    study._thread_local.cached_all_trials = None


class EditableStorage(InMemoryStorage):
    """In-memory storage in which the parameters of a running trial can be reset."""

    def study_id_of_trial(self, trial_id: int) -> int:
        """Returns the identifier of the study that a trial belongs to."""
        return self._trial_id_to_study_id_and_number[trial_id][0]

    def reset_trial(self, trial_id: int, *, fixed: Mapping[str, Any] | None = None) -> None:
        """Removes all parameters and attributes of a trial, which is then in the state in which `ask` returns it.

        Args:
            trial_id: Identifier of a running trial.
            fixed: Parameter to the value that `suggest` returns, as for an enqueued trial; None: the sampler draws.
        """
        trial = copy.copy(self._get_trial(trial_id))
        trial.params, trial.distributions, trial.user_attrs = {}, {}, {}
        trial.system_attrs = {} if fixed is None else {"fixed_params": dict(fixed)}
        self._set_trial(trial_id, trial)
