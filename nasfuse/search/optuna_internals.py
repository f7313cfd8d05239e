"""Adapter for the names of Optuna that are not part of its public interface.

No other module of nasfuse uses a name of Optuna that begins with an underscore. If a new version of Optuna moves one
of them, only this module has to change.
"""

import copy
import json
from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution, json_to_distribution
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from optuna.storages._rdb import models
from optuna.study import Study
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import ColumnElement, Connection, Row, Table, or_, select

__all__ = [
    "STUDIES",
    "TRIALS",
    "EditableStorage",
    "FrozenStudy",
    "TrialDatabase",
    "TrialTables",
    "contains",
    "forget_cached_trials",
    "read_trials",
    "storage_of",
    "stored_value",
    "study_id_of",
    "trial_id_of",
]


def _table(model: type[models.BaseModel]) -> Table:
    table = model.__table__
    assert isinstance(table, Table)
    return table


#: Tables of the studies and of the trials in a database; `RDBStorage` checks that they are of this version of Optuna.
STUDIES, TRIALS = _table(models.StudyModel), _table(models.TrialModel)


class TrialTables:
    """Tables of what belongs to trials in a database, by its kind."""

    PARAMETERS = _table(models.TrialParamModel)
    USER_ATTRIBUTES = _table(models.TrialUserAttributeModel)
    SYSTEM_ATTRIBUTES = _table(models.TrialSystemAttributeModel)
    VALUES = _table(models.TrialValueModel)
    INTERMEDIATE_VALUES = _table(models.TrialIntermediateValueModel)


def stored_value(value: float) -> tuple[float | None, Any]:
    """Returns a value of an objective as the two columns that a database has for it."""
    return models.TrialValueModel.value_to_stored_repr(value)


def read_trials(storage: RDBStorage, study_id: int, *, after: int, and_also: set[int]) -> list[FrozenTrial]:
    """Returns the trials with identifiers above `after`, and those with the identifiers `and_also`."""
    return storage._get_trials(study_id, None, and_also, after)


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


class TrialDatabase(RDBStorage):
    """Optuna's storage in a database, which reads many trials several times as fast.

    Each table is read with one statement, and rows are not made into objects. Trials share equal distributions.

    Attributes:
        reads_parameters: Whether trials have their parameters, which are most of the rows; set it before reading.
    """

    reads_parameters = True

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        wanted: list[ColumnElement[bool]] = [TRIALS.c.study_id == study_id]
        if states is not None:
            wanted.append(TRIALS.c.state.in_([state for state in TrialState if state in states]))
        if trial_id_greater_than > -1:
            is_new = TRIALS.c.trial_id > trial_id_greater_than
            wanted.append(or_(is_new, TRIALS.c.trial_id.in_(included_trial_ids)))
        with self.engine.connect() as connection:
            rows = connection.execute(select(TRIALS).where(*wanted).order_by(TRIALS.c.trial_id)).all()
            if not rows:
                return super()._get_trials(study_id, states, included_trial_ids, trial_id_greater_than)
            trials = {row.trial_id: _without_parts(row) for row in rows}
            span = rows[-1].trial_id - rows[0].trial_id
            is_whole = states is None and trial_id_greater_than == -1 and span < 2 * len(rows)  # few of other studies
            _add_parts(connection, trials, None if is_whole else wanted, with_parameters=self.reads_parameters)
        return list(trials.values())


def _without_parts(row: Row[Any]) -> FrozenTrial:
    """Returns a trial without what other tables hold of it."""
    return FrozenTrial(
        number=row.number,
        state=row.state,
        value=None,
        values=None,
        datetime_start=_local(row.datetime_start),
        datetime_complete=_local(row.datetime_complete),
        params={},
        distributions={},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
        trial_id=row.trial_id,
    )


def _add_parts(
    connection: Connection,
    trials: Mapping[int, FrozenTrial],
    wanted: Sequence[ColumnElement[bool]] | None,
    *,
    with_parameters: bool,
) -> None:
    """Adds to `trials`, which are those that are `wanted`, by identifier, what the other tables hold of them.

    Where all trials of a study are wanted (None), their rows are read without a join, which takes half of the time.
    Those of other studies in between are left out, as are those of trials that were created since `trials` were read.
    """
    first, last = min(trials), max(trials)

    def rows_of(table: Table, order: str, *columns: str) -> Iterator[Any]:
        """Yields identifier of the trial and `columns` of all rows, which are read at once."""
        chosen = select(table.c.trial_id, *(table.c[name] for name in columns))
        if wanted is None:
            chosen = chosen.where(table.c.trial_id.between(first, last))
        else:
            chosen = chosen.join(TRIALS, table.c.trial_id == TRIALS.c.trial_id).where(*wanted)
        rows = connection.execute(chosen.order_by(table.c[order])).all()
        return (row for row in rows if row[0] in trials)

    columns = ("param_name", "param_value", "distribution_json")
    parameters = rows_of(TrialTables.PARAMETERS, "param_id", *columns) if with_parameters else iter(())
    for trial_id, name, value, text in parameters:
        trial, distribution = trials[trial_id], _distribution(text)
        trial.distributions[name] = distribution
        trial.params[name] = distribution.to_external_repr(value)
    for trial_id, key, text in rows_of(TrialTables.USER_ATTRIBUTES, "trial_user_attribute_id", "key", "value_json"):
        trials[trial_id].user_attrs[key] = json.loads(text)
    for trial_id, key, text in rows_of(TrialTables.SYSTEM_ATTRIBUTES, "trial_system_attribute_id", "key", "value_json"):
        trials[trial_id].system_attrs[key] = json.loads(text)
    values: dict[int, list[float]] = defaultdict(list)
    of_value = models.TrialValueModel.stored_repr_to_value
    for trial_id, value, kind in rows_of(TrialTables.VALUES, "objective", "value", "value_type"):
        values[trial_id].append(of_value(value, kind))
    for trial_id, of_trial in values.items():
        trials[trial_id].values = of_trial
    of_intermediate = models.TrialIntermediateValueModel.stored_repr_to_intermediate_value
    columns = ("step", "intermediate_value", "intermediate_value_type")
    for trial_id, step, value, kind in rows_of(TrialTables.INTERMEDIATE_VALUES, "step", *columns):
        trials[trial_id].intermediate_values[step] = of_intermediate(value, kind)


@cache
def _distribution(text: str) -> BaseDistribution:
    return json_to_distribution(text)


def _local(stored: datetime | None) -> datetime | None:
    """Returns a stored time, in UTC and without a time zone, as local time without one."""
    return None if stored is None else stored.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)


class EditableStorage(InMemoryStorage):
    """In-memory storage in which trials can be reset, replaced and removed.

    Attributes:
        distributions: Distributions of all parameters; trials share equal ones.
    """

    def __init__(self) -> None:
        """Holds no study."""
        super().__init__()
        self.distributions: dict[BaseDistribution, BaseDistribution] = {}

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        """Sets a parameter of a running trial."""
        shared = self.distributions.setdefault(distribution, distribution)
        super().set_trial_param(trial_id, param_name, param_value_internal, shared)

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

    def replace_trial(self, trial_id: int, trial: FrozenTrial) -> None:
        """Replaces a trial by another state of it."""
        again = copy.copy(trial)
        again._trial_id = trial_id
        self._set_trial(trial_id, again)

    def last_trial(self, study_id: int) -> FrozenTrial | None:
        """Returns the last trial of a study; None if it has none."""
        trials = self._studies[study_id].trials
        return trials[-1] if trials else None

    def drop_last_trial(self, study_id: int) -> None:
        """Removes the last trial of a study."""
        trials = self._studies[study_id].trials
        del self._trial_id_to_study_id_and_number[trial_id_of(trials.pop())]
        waiting = self._prev_waiting_trial_number
        waiting[study_id] = min(waiting[study_id], len(trials))  # where the search for waiting trials begins
