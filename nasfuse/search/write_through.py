"""Write-through storage: a study is read from memory and written to memory and to a storage behind it."""

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nasfuse.errors import RunFolderError
from nasfuse.search.optuna_internals import EditableStorage, FrozenStudy, study_id_of, trial_id_of
from nasfuse.search.patience import Patience
from nasfuse.search.trial import without_outcome


class WriteThroughStorage(EditableStorage):
    """In-memory copy of one study for the only process that writes to it; other processes read the storage behind it.

    Samplers read all trials many times per suggestion, which is slow on a database. A new trial is a draft that exists
    in memory only, until `publish` writes it, with all its parameters, in one transaction. A draft that ends (failed or
    pruned) is published at that moment. A draft is lost if the process dies.
    """

    def __init__(self, behind: BaseStorage, study_name: str, *, patience: Patience | None = None) -> None:
        """Loads the study called `study_name` from `behind`, if it exists; `patience` calls `behind` from then on."""
        super().__init__()
        self._behind = behind
        self._patiently = patience or Patience()
        self._study_behind: dict[int, int] = {}
        self._trial_behind: dict[int, int] = {}
        self._running: frozenset[int] = frozenset()
        for study in behind.get_all_studies():
            if study.study_name == study_name:
                self._load(study)

    def _load(self, study: FrozenStudy) -> None:
        study_id = super().create_new_study(study.directions, study.study_name)
        self._study_behind[study_id] = study_id_of(study)
        for key, value in study.user_attrs.items():
            super().set_study_user_attr(study_id, key, value)
        for key, value in study.system_attrs.items():
            super().set_study_system_attr(study_id, key, value)
        for trial in self._behind.get_all_trials(study_id_of(study), deepcopy=False):
            trial_id = super().create_new_trial(study_id, trial)
            self._trial_behind[trial_id] = trial_id_of(trial)

    def publish(self, trial_id: int) -> None:
        """Writes a draft to the storage behind; does nothing for a trial that was published.

        Raises:
            RunFolderError: Another process has written to the study.
        """
        if trial_id in self._trial_behind:
            return
        study_id, number = self.study_id_of_trial(trial_id), self.get_trial_number_from_id(trial_id)
        behind_study = self._study_behind[study_id]
        behind_id, behind_number = self._patiently(
            lambda: self._created(behind_study, self.get_trial(trial_id)),
            settled=lambda: self._created_before(behind_study, self.get_trial(trial_id)),
        )
        if behind_number != number:
            self._behind.set_trial_state_values(behind_id, TrialState.FAIL)
            raise RunFolderError(
                f"another search writes to study {self.get_study_name_from_id(study_id)} in the same storage; "
                "end one of them, or give one study another name"
            )
        self._trial_behind[trial_id] = behind_id

    def publish_all(self) -> None:
        """Writes all drafts to the storage behind."""
        for study_id in self._study_behind:
            for trial in super().get_all_trials(study_id, deepcopy=False):
                self.publish(trial_id_of(trial))

    def _created(self, behind_study: int, trial: FrozenTrial) -> tuple[int, int]:
        """Creates a trial in the storage behind, and returns its identifier and its number there."""
        behind_id = self._behind.create_new_trial(behind_study, trial)
        return behind_id, self._behind.get_trial_number_from_id(behind_id)

    def _created_before(self, behind_study: int, trial: FrozenTrial) -> tuple[int, int] | None:
        """Returns what `_created` would have returned, if `trial` is in the storage behind; None if it is not."""
        everything = self._behind.get_all_trials(behind_study, deepcopy=False)
        if len(everything) <= trial.number:
            return None
        there = everything[trial.number]
        is_same = (there.params, there.user_attrs) == (trial.params, trial.user_attrs)
        return (trial_id_of(there), there.number) if is_same else None

    def reset_draft(self, trial_id: int, *, fixed: Mapping[str, Any] | None = None) -> None:
        """Removes all parameters and attributes of a draft, see `reset_trial`."""
        assert trial_id not in self._trial_behind, "only drafts can be drawn anew"
        self.reset_trial(trial_id, fixed=fixed)

    @contextmanager
    def as_running(self, numbers: Sequence[int]) -> Iterator[None]:
        """Makes `get_all_trials` show trials with these numbers as running, without results, inside the block."""
        self._running = frozenset(numbers)
        try:
            yield
        finally:
            self._running = frozenset()

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Returns the trials in the given `states`; inside `as_running`, some of them without their results."""
        if not self._running:
            return super().get_all_trials(study_id, deepcopy, states)
        everything = super().get_all_trials(study_id, deepcopy)
        seen = [without_outcome(trial) if trial.number in self._running else trial for trial in everything]
        return [trial for trial in seen if states is None or trial.state in states]

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        """Creates a study in memory and in the storage behind."""
        study_id = super().create_new_study(directions, study_name)
        self._study_behind[study_id] = self._behind.create_new_study(directions, study_name)
        return study_id

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Sets the attribute in memory and in the storage behind."""
        super().set_study_user_attr(study_id, key, value)
        self._patiently(lambda: self._behind.set_study_user_attr(self._study_behind[study_id], key, value))

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Sets the attribute in memory and in the storage behind."""
        super().set_study_system_attr(study_id, key, value)
        self._patiently(lambda: self._behind.set_study_system_attr(self._study_behind[study_id], key, value))

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Sets state and values in memory and in the storage behind; a draft that ends is published."""
        changed = super().set_trial_state_values(trial_id, state, values)
        if trial_id in self._trial_behind:
            behind_id = self._trial_behind[trial_id]
            self._patiently(
                lambda: self._behind.set_trial_state_values(behind_id, state, values),
                settled=lambda: self._behind.get_trial(behind_id).state is state or None,
            )
        elif state.is_finished():
            self.publish(trial_id)
        return changed

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Sets the attribute in memory and, unless the trial is a draft, in the storage behind."""
        super().set_trial_user_attr(trial_id, key, value)
        if trial_id in self._trial_behind:
            self._patiently(lambda: self._behind.set_trial_user_attr(self._trial_behind[trial_id], key, value))

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Sets the attribute in memory and, unless the trial is a draft, in the storage behind."""
        super().set_trial_system_attr(trial_id, key, value)
        if trial_id in self._trial_behind:
            self._patiently(lambda: self._behind.set_trial_system_attr(self._trial_behind[trial_id], key, value))
