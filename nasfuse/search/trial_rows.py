"""Trials of a storage, created and changed in one transaction each.

A transaction checks what its writer has read before, so that several drivers can write to one study.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from optuna.distributions import distribution_to_json
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Table, delete, func, insert, select, update

from nasfuse.search.optuna_internals import STUDIES, TRIALS, TrialTables, read_trials, stored_value, trial_id_of

#: Name and value of a user attribute.
Attribute = tuple[str, Any]


class OutdatedError(Exception):
    """The storage does not hold what the writer has read."""

    def __init__(self) -> None:
        """States the reason."""
        super().__init__("another process has written to the study since it was read")


@dataclass
class Change:
    """What is written to a trial that exists.

    Attributes:
        user_attrs: New values of user attributes.
        system_attrs: New values of Optuna's own attributes.
        state: New state; None to keep it.
        values: Values of the objectives; None for none.
    """

    user_attrs: dict[str, Any] = field(default_factory=dict)
    system_attrs: dict[str, Any] = field(default_factory=dict)
    state: TrialState | None = None
    values: Sequence[float] | None = None


class TrialRows(ABC):
    """The trials of the studies in a storage."""

    @abstractmethod
    def append(self, study_id: int, trial: FrozenTrial) -> int:
        """Creates `trial` as the last one of a study, and returns its identifier.

        Raises:
            OutdatedError: The study has another number of trials than the number of `trial`.
        """

    @abstractmethod
    def change(self, trial_id: int, change: Change, *, only_if: Attribute | None = None) -> None:
        """Changes a trial that is waiting or running.

        Args:
            trial_id: Identifier of the trial.
            change: What is written.
            only_if: User attribute that the trial must have; None for no condition.

        Raises:
            OutdatedError: The trial has ended, or a waiting one was started, or it has not the attribute `only_if`.
        """

    @abstractmethod
    def read(self, study_id: int, *, after: int, and_also: Collection[int]) -> list[FrozenTrial]:
        """Returns the trials of a study with identifiers above `after`, and those with the identifiers `and_also`."""


def rows_of(storage: BaseStorage) -> TrialRows:
    """Returns the trials in `storage`."""
    return DatabaseRows(storage) if isinstance(storage, RDBStorage) else OtherRows(storage)


class DatabaseRows(TrialRows):
    """Trials in the tables of Optuna's database, with a few statements for each change.

    Optuna itself asks for every parameter of a new trial whether an earlier trial has it, and counts all trials.
    """

    def __init__(self, storage: RDBStorage) -> None:
        """Writes to the tables of `storage`."""
        self._storage = storage

    def append(self, study_id: int, trial: FrozenTrial) -> int:
        """See `TrialRows`. The row of the study is locked, so that writers follow one after another."""
        last = select(TRIALS.c.number).where(TRIALS.c.study_id == study_id).order_by(TRIALS.c.trial_id.desc()).limit(1)
        with self._storage.engine.begin() as connection:
            connection.execute(select(STUDIES.c.study_id).where(STUDIES.c.study_id == study_id).with_for_update())
            number = connection.execute(last).scalar()
            if trial.number != (0 if number is None else number + 1):
                raise OutdatedError
            times = {"datetime_start": _utc(trial.datetime_start), "datetime_complete": _utc(trial.datetime_complete)}
            row = insert(TRIALS).values(study_id=study_id, number=trial.number, state=trial.state, **times)
            key = connection.execute(row).inserted_primary_key
            assert key is not None
            trial_id = int(key[0])
            parameters = [
                {
                    "trial_id": trial_id,
                    "param_name": name,
                    "param_value": trial.distributions[name].to_internal_repr(value),
                    "distribution_json": distribution_to_json(trial.distributions[name]),
                }
                for name, value in trial.params.items()
            ]
            _insert(connection, TrialTables.PARAMETERS, parameters)
            _insert(connection, TrialTables.USER_ATTRIBUTES, _attribute_rows(trial_id, trial.user_attrs))
            _insert(connection, TrialTables.SYSTEM_ATTRIBUTES, _attribute_rows(trial_id, trial.system_attrs))
            _insert(connection, TrialTables.VALUES, _value_rows(trial_id, trial.values or ()))
        return trial_id

    def change(self, trial_id: int, change: Change, *, only_if: Attribute | None = None) -> None:
        """See `TrialRows`. The row of the trial is locked."""
        with self._storage.engine.begin() as connection:
            locked = select(TRIALS.c.state).where(TRIALS.c.trial_id == trial_id).with_for_update()
            _check_change(connection.execute(locked).scalar_one(), change)
            if only_if is not None:
                _check_attribute(connection, trial_id, *only_if)
            _replace(connection, TrialTables.USER_ATTRIBUTES, trial_id, change.user_attrs)
            _replace(connection, TrialTables.SYSTEM_ATTRIBUTES, trial_id, change.system_attrs)
            _insert(connection, TrialTables.VALUES, _value_rows(trial_id, change.values or ()))
            if change.state is not None:
                time = "datetime_complete" if change.state.is_finished() else "datetime_start"
                new = {"state": change.state, time: _utc(datetime.now())}
                connection.execute(update(TRIALS).where(TRIALS.c.trial_id == trial_id).values(new))

    def read(self, study_id: int, *, after: int, and_also: Collection[int]) -> list[FrozenTrial]:
        """See `TrialRows`."""
        newest = select(func.max(TRIALS.c.trial_id)).where(TRIALS.c.study_id == study_id)
        with self._storage.engine.connect() as connection:
            if not and_also and (connection.execute(newest).scalar() or -1) <= after:
                return []
        return read_trials(self._storage, study_id, after=after, and_also=set(and_also))


class OtherRows(TrialRows):
    """Trials in a storage that only this process writes to, as one in memory."""

    def __init__(self, storage: BaseStorage) -> None:
        """Writes to `storage`."""
        self._storage = storage

    def append(self, study_id: int, trial: FrozenTrial) -> int:
        """See `TrialRows`."""
        if self._storage.get_n_trials(study_id) != trial.number:
            raise OutdatedError
        return self._storage.create_new_trial(study_id, trial)

    def change(self, trial_id: int, change: Change, *, only_if: Attribute | None = None) -> None:
        """See `TrialRows`."""
        before = self._storage.get_trial(trial_id)
        _check_change(before.state, change)
        if only_if is not None and before.user_attrs.get(only_if[0]) != only_if[1]:
            raise OutdatedError
        for key, value in change.user_attrs.items():
            self._storage.set_trial_user_attr(trial_id, key, value)
        for key, value in change.system_attrs.items():
            self._storage.set_trial_system_attr(trial_id, key, value)
        if change.state is not None:
            self._storage.set_trial_state_values(trial_id, change.state, change.values)

    def read(self, study_id: int, *, after: int, and_also: Collection[int]) -> list[FrozenTrial]:
        """See `TrialRows`."""
        trials = self._storage.get_all_trials(study_id, deepcopy=False)
        return [trial for trial in trials if trial_id_of(trial) > after or trial_id_of(trial) in and_also]


def _check_change(before: TrialState, change: Change) -> None:
    if before.is_finished() or (change.state is TrialState.RUNNING and before is not TrialState.WAITING):
        raise OutdatedError


def _check_attribute(connection: Connection, trial_id: int, name: str, value: Any) -> None:
    table = TrialTables.USER_ATTRIBUTES
    found = select(table.c.value_json).where(table.c.trial_id == trial_id, table.c.key == name)
    held = connection.execute(found).scalar()
    if (None if held is None else json.loads(held)) != value:
        raise OutdatedError


def _replace(connection: Connection, table: Table, trial_id: int, attributes: Mapping[str, Any]) -> None:
    """Writes attributes of a trial, in place of those of the same name."""
    if attributes:
        connection.execute(delete(table).where(table.c.trial_id == trial_id, table.c.key.in_(attributes)))
        _insert(connection, table, _attribute_rows(trial_id, attributes))


def _insert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), rows)


def _attribute_rows(trial_id: int, attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"trial_id": trial_id, "key": key, "value_json": json.dumps(value)} for key, value in attributes.items()]


def _value_rows(trial_id: int, values: Sequence[float]) -> list[dict[str, Any]]:
    stored = [stored_value(value) for value in values]
    return [
        {"trial_id": trial_id, "objective": objective, "value": value, "value_type": kind}
        for objective, (value, kind) in enumerate(stored)
    ]


def _utc(local: datetime | None) -> datetime | None:
    """Returns a local time as Optuna stores it: in UTC, without a time zone."""
    return None if local is None else local.astimezone(UTC).replace(tzinfo=None)
