"""A study held in memory and written through to its storage: suggestions read nothing back from the disk."""

import copy
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from optuna.storages import BaseStorage, InMemoryStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from nasfuse.errors import RunFolderError
from nasfuse.search.visibility import RESULTS


class Mirror(InMemoryStorage):
    """What one process, the only writer, works on; the storage behind it is what everybody else sees.

    Samplers read all trials many times per suggestion, which is slow on a database and free in memory. A new
    trial is a draft until `publish` writes it in one transaction, with all that was suggested; a draft that
    ends (failed or pruned) is published then. A draft that dies with its process has never been.
    """

    def __init__(self, behind: BaseStorage, study_name: str) -> None:
        """Loads the study called `study_name`, if `behind` has it."""
        super().__init__()
        self._behind = behind
        self._study_behind: dict[int, int] = {}
        self._trial_behind: dict[int, int] = {}
        self._running: frozenset[int] = frozenset()
        for study in behind.get_all_studies():
            if study.study_name == study_name:
                self._load(study)

    def _load(self, study: FrozenStudy) -> None:
        study_id = super().create_new_study(study.directions, study.study_name)
        self._study_behind[study_id] = study._study_id
        for key, value in study.user_attrs.items():
            super().set_study_user_attr(study_id, key, value)
        for key, value in study.system_attrs.items():
            super().set_study_system_attr(study_id, key, value)
        for trial in self._behind.get_all_trials(study._study_id, deepcopy=False):
            trial_id = super().create_new_trial(study_id, trial)
            self._trial_behind[trial_id] = trial._trial_id

    def publish(self, trial_id: int) -> None:
        """Writes a draft to the storage; does nothing for a trial that is there.

        Raises:
            RunFolderError: Another process has written to the study.
        """
        if trial_id in self._trial_behind:
            return
        study_id, number = self._trial_id_to_study_id_and_number[trial_id]
        behind_id = self._behind.create_new_trial(self._study_behind[study_id], self.get_trial(trial_id))
        if self._behind.get_trial_number_from_id(behind_id) != number:
            self._behind.set_trial_state_values(behind_id, TrialState.FAIL)
            raise RunFolderError(
                f"another search writes to study {self.get_study_name_from_id(study_id)} in the same storage; "
                "end one of them, or give one study another name"
            )
        self._trial_behind[trial_id] = behind_id

    def blank(self, trial_id: int, *, fixed: Mapping[str, Any] | None = None) -> None:
        """Takes back all that was suggested for a draft, as if it had just been asked for.

        Args:
            trial_id: Of a trial that is not published.
            fixed: Parameter to the value that it will be given, as of an enqueued trial; None lets the sampler draw.
        """
        assert trial_id not in self._trial_behind, "only drafts can be drawn anew"
        draft = copy.copy(self._get_trial(trial_id))
        draft.params, draft.distributions, draft.user_attrs = {}, {}, {}
        draft.system_attrs = {} if fixed is None else {"fixed_params": dict(fixed)}
        self._set_trial(trial_id, draft)

    def mark(self, study_id: int, numbers: Iterable[int], key: str) -> None:
        """Sets a user attribute of trials to True in memory alone; they may have ended."""
        for number in numbers:
            trial_id = self.get_trial_id_from_study_id_trial_number(study_id, number)
            marked = copy.copy(self._get_trial(trial_id))
            marked.user_attrs = {**marked.user_attrs, key: True}
            self._set_trial(trial_id, marked)

    @contextmanager
    def as_running(self, numbers: Sequence[int]) -> Iterator[None]:
        """Lets `get_all_trials` show the trials of these numbers without their results while the block runs."""
        self._running = frozenset(numbers)
        try:
            yield
        finally:
            self._running = frozenset()

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Returns the trials in some `states`, inside of `as_running` with what is to be seen there."""
        if not self._running:
            return super().get_all_trials(study_id, deepcopy, states)
        everything = super().get_all_trials(study_id, deepcopy)
        seen = [_without_result(trial) if trial.number in self._running else trial for trial in everything]
        return [trial for trial in seen if states is None or trial.state in states]

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        """Makes a study here and behind."""
        study_id = super().create_new_study(directions, study_name)
        self._study_behind[study_id] = self._behind.create_new_study(directions, study_name)
        return study_id

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Sets it here and behind."""
        super().set_study_user_attr(study_id, key, value)
        self._behind.set_study_user_attr(self._study_behind[study_id], key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Sets it here and behind."""
        super().set_study_system_attr(study_id, key, value)
        self._behind.set_study_system_attr(self._study_behind[study_id], key, value)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Sets them here and behind; a draft that ends is published."""
        changed = super().set_trial_state_values(trial_id, state, values)
        if trial_id in self._trial_behind:
            self._behind.set_trial_state_values(self._trial_behind[trial_id], state, values)
        elif state.is_finished():
            self.publish(trial_id)
        return changed

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Sets it here and, unless the trial is a draft, behind."""
        super().set_trial_user_attr(trial_id, key, value)
        if trial_id in self._trial_behind:
            self._behind.set_trial_user_attr(self._trial_behind[trial_id], key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Sets it here and, unless the trial is a draft, behind."""
        super().set_trial_system_attr(trial_id, key, value)
        if trial_id in self._trial_behind:
            self._behind.set_trial_system_attr(self._trial_behind[trial_id], key, value)


def _without_result(trial: FrozenTrial) -> FrozenTrial:
    """Returns a trial as it was when it was handed out."""
    earlier = copy.copy(trial)
    earlier.state, earlier.values, earlier.datetime_complete = TrialState.RUNNING, None, None
    earlier.user_attrs = {key: value for key, value in trial.user_attrs.items() if key not in RESULTS}
    return earlier
