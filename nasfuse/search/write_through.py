"""Write-through storage: a study is read from memory and written to memory and to a storage behind it."""

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any

from optuna.exceptions import DuplicatedStudyError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nasfuse.errors import RunFolderError
from nasfuse.search.fold import Fold
from nasfuse.search.lease import TakenOverError
from nasfuse.search.optuna_internals import EditableStorage, FrozenStudy, study_id_of, trial_id_of
from nasfuse.search.patience import Patience
from nasfuse.search.trial import DRIVER, without_outcome
from nasfuse.search.trial_rows import Attribute, Change, OutdatedError, rows_of


@lru_cache
def _in_states(states: tuple[TrialState, ...]) -> Fold[FrozenTrial, list[FrozenTrial]]:
    """Returns the fold of trials to those in one of `states`; Optuna asks for the waiting ones before each trial."""

    def extend(before: list[FrozenTrial], trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        return [*before, *(trial for trial in trials if trial.state in states)]

    return Fold([], extend, is_final=lambda trial: trial.state.is_finished())


class WriteThroughStorage(EditableStorage):
    """In-memory copy of one study for a process that writes to it; other processes read the storage behind it.

    Samplers read all trials many times per suggestion, which is slow on a database. A new trial is a draft that exists
    in memory only, until `publish` writes it, with all its parameters, in one transaction. A draft that ends (failed or
    pruned) is published at that moment. A draft is lost if the process dies.

    With the token of a driver, other drivers may write to the same study. `refresh` reads what they have written. A
    draft is published only if no other driver has created a trial since (otherwise `OutdatedError` is raised), and a
    running trial is changed only if it is still this driver's (otherwise `TakenOverError`).
    """

    def __init__(
        self,
        behind: BaseStorage,
        study_name: str,
        *,
        patience: Patience | None = None,
        driver: str | None = None,
    ) -> None:
        """Loads the study called `study_name` from `behind`, if it exists.

        Args:
            behind: Storage that is written to.
            study_name: Name of the study.
            patience: Calls `behind` from then on.
            driver: Token of the driver that writes; None if it is the only one.
        """
        super().__init__()
        self._behind = behind
        self._rows = rows_of(behind)
        self._patiently = patience or Patience()
        self._driver = driver
        self._study_behind: dict[int, int] = {}
        self._trial_behind: dict[int, int] = {}
        self._unended: dict[int, int] = {}  # identifier behind to the one here, of published trials that have not ended
        self._collected: dict[int, Change] | None = None
        self._running: frozenset[int] = frozenset()
        for study in behind.get_all_studies():
            if study.study_name == study_name:
                self._load(study)

    def _load(self, study: FrozenStudy) -> int:
        study_id = super().create_new_study(study.directions, study.study_name)
        self._study_behind[study_id] = study_id_of(study)
        for key, value in study.user_attrs.items():
            super().set_study_user_attr(study_id, key, value)
        for key, value in study.system_attrs.items():
            super().set_study_system_attr(study_id, key, value)
        self._take_over(study_id, self._behind.get_all_trials(study_id_of(study), deepcopy=False))
        return study_id

    def _take_over(self, study_id: int, trials: Sequence[FrozenTrial]) -> None:
        """Takes trials of the storage behind into memory, in place of what is known of them."""
        for trial in trials:
            behind_id = trial_id_of(trial)
            trial_id = self._unended.get(behind_id)
            if trial_id is None:
                trial_id = super().create_new_trial(study_id, trial)
                assert self.get_trial_number_from_id(trial_id) == trial.number, "trials are read in their order"
                self._note_published(trial_id, behind_id)
            else:
                before = self.get_trial(trial_id)
                if (before.state, before.user_attrs) != (trial.state, trial.user_attrs):
                    self.replace_trial(trial_id, trial)
            if trial.state.is_finished():
                self._unended.pop(behind_id, None)

    def _note_published(self, trial_id: int, behind_id: int) -> None:
        self._trial_behind[trial_id] = behind_id
        if not self.get_trial(trial_id).state.is_finished():
            self._unended[behind_id] = trial_id

    def refresh(self) -> None:
        """Reads what other drivers have written, and removes all drafts."""
        for study_id, behind_id in self._study_behind.items():
            while (last := self.last_trial(study_id)) is not None and trial_id_of(last) not in self._trial_behind:
                self.drop_last_trial(study_id)
            after = -1 if last is None else self._trial_behind[trial_id_of(last)]
            others = {
                behind
                for behind, here in self._unended.items()
                if self.get_trial(here).user_attrs.get(DRIVER) != self._driver
            }
            self._take_over(
                study_id, self._patiently(partial(self._rows.read, behind_id, after=after, and_also=others))
            )
            attributes = self._patiently(partial(self._behind.get_study_user_attrs, behind_id))
            for key, value in attributes.items():
                super().set_study_user_attr(study_id, key, value)

    def publish(self, trial_id: int) -> None:
        """Writes a draft to the storage behind; does nothing for a trial that was published.

        Raises:
            OutdatedError: Another driver has created a trial since the study was read.
            RunFolderError: The same, where there should be no other driver.
        """
        if trial_id in self._trial_behind:
            return
        if self._driver is not None and self.get_trial(trial_id).state is TrialState.RUNNING:
            super().set_trial_user_attr(trial_id, DRIVER, self._driver)
        study_id = self.study_id_of_trial(trial_id)
        behind_study, trial = self._study_behind[study_id], self.get_trial(trial_id)
        try:
            behind_id = self._patiently(
                lambda: self._rows.append(behind_study, trial),
                settled=lambda: self._created_before(behind_study, trial),
            )
        except OutdatedError as error:
            if self._driver is not None:
                raise
            raise RunFolderError(
                f"another search writes to study {self.get_study_name_from_id(study_id)} in the same storage; "
                "end one of them, or give one study another name"
            ) from error
        self._note_published(trial_id, behind_id)

    def publish_all(self) -> None:
        """Writes all drafts to the storage behind."""
        for study_id in self._study_behind:
            for trial in super().get_all_trials(study_id, deepcopy=False):
                self.publish(trial_id_of(trial))

    def _created_before(self, behind_study: int, trial: FrozenTrial) -> int | None:
        """Returns the identifier of `trial` in the storage behind, if it is there; None if it is not."""
        everything = self._behind.get_all_trials(behind_study, deepcopy=False)
        if len(everything) <= trial.number:
            return None
        there = everything[trial.number]
        is_same = (there.params, there.user_attrs) == (trial.params, trial.user_attrs)
        return trial_id_of(there) if is_same else None

    def claim(self, trial_id: int) -> None:
        """Makes a running trial of a driver that has died one of this driver.

        Raises:
            OutdatedError: The trial has ended, or another driver has claimed it.
        """
        assert self._driver is not None, "only one of several drivers claims trials"
        behind_id, before = self._trial_behind[trial_id], self.get_trial(trial_id).user_attrs.get(DRIVER)
        change = Change({DRIVER: self._driver})

        def settled() -> bool | None:
            return self._behind.get_trial(behind_id).user_attrs.get(DRIVER) == self._driver or None

        def write() -> bool:
            self._rows.change(behind_id, change, only_if=(DRIVER, before))
            return True

        self._patiently(write, settled=settled)
        super().set_trial_user_attr(trial_id, DRIVER, self._driver)

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

    @contextmanager
    def in_one_transaction(self) -> Iterator[None]:
        """Writes the attributes that trials get inside the block together, with their state if that changes."""
        self._collected = {}
        try:
            yield
            for trial_id, change in self._collected.items():
                self._write(trial_id, change, owner=self._owner_of(trial_id))
        finally:
            self._collected = None

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Returns the trials in the given `states`; inside `as_running`, some of them without their results."""
        everything = super().get_all_trials(study_id, deepcopy)
        for number in self._running:
            everything[number] = without_outcome(everything[number])
        if states is None:
            return everything
        chosen = tuple(state for state in TrialState if state in states)
        return _in_states(chosen).of(everything).copy()

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        """Creates a study in memory and in the storage behind.

        Raises:
            DuplicatedStudyError: Another driver has created it in the meantime; it is loaded.
        """
        try:
            behind_id = self._behind.create_new_study(directions, study_name)
        except DuplicatedStudyError:
            for study in self._behind.get_all_studies():
                if study.study_name == study_name:
                    self._load(study)
            raise
        study_id = super().create_new_study(directions, study_name)
        self._study_behind[study_id] = behind_id
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
        owner = self._owner_of(trial_id)
        changed = super().set_trial_state_values(trial_id, state, values)
        if trial_id not in self._trial_behind:
            if state.is_finished():
                self.publish(trial_id)
            return changed
        change = (self._collected or {}).pop(trial_id, Change())
        change.state, change.values = state, values
        if state is TrialState.RUNNING and self._driver is not None:
            super().set_trial_user_attr(trial_id, DRIVER, self._driver)
            change.user_attrs[DRIVER] = self._driver
        self._write(trial_id, change, owner=owner)
        if state.is_finished():
            del self._unended[self._trial_behind[trial_id]]
        return changed

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Sets the attribute in memory and, unless the trial is a draft, in the storage behind."""
        super().set_trial_user_attr(trial_id, key, value)
        self._add(trial_id, Change(user_attrs={key: value}))

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Sets the attribute in memory and, unless the trial is a draft, in the storage behind."""
        super().set_trial_system_attr(trial_id, key, value)
        self._add(trial_id, Change(system_attrs={key: value}))

    def _add(self, trial_id: int, change: Change) -> None:
        """Writes attributes of a published trial, or collects them inside `in_one_transaction`."""
        if trial_id not in self._trial_behind:
            return
        if self._collected is None:
            self._write(trial_id, change, owner=self._owner_of(trial_id))
            return
        collected = self._collected.setdefault(trial_id, Change())
        collected.user_attrs.update(change.user_attrs)
        collected.system_attrs.update(change.system_attrs)

    def _write(self, trial_id: int, change: Change, *, owner: Attribute | None) -> None:
        behind_id = self._trial_behind[trial_id]

        def settled() -> bool | None:
            return (change.state is not None and self._behind.get_trial(behind_id).state is change.state) or None

        def write() -> bool:
            self._rows.change(behind_id, change, only_if=owner)
            return True

        try:
            self._patiently(write, settled=settled)
        except OutdatedError as error:
            if owner is None and self._driver is not None:  # a waiting trial, which another driver has started
                raise
            raise TakenOverError.of(self.get_study_name_from_id(self.study_id_of_trial(trial_id))) from error

    def _owner_of(self, trial_id: int) -> Attribute | None:
        """Returns the attribute by which a running trial is this driver's; None where there is no other driver."""
        is_running = self.get_trial(trial_id).state is TrialState.RUNNING
        return (DRIVER, self._driver) if self._driver is not None and is_running else None
