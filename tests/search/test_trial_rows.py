"""Trials written in one transaction are what Optuna itself would have written, and only if nobody was faster."""

from datetime import datetime

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState

from nasfuse.search.storage import open_storage, sqlite_url
from nasfuse.search.trial_rows import Change, OutdatedError, rows_of


@pytest.fixture(params=["memory", "sqlite"])
def storage(request, tmp_path):
    return InMemoryStorage() if request.param == "memory" else open_storage(sqlite_url(tmp_path / "study.db"))


@pytest.fixture
def study(storage):
    return storage.create_new_study([StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE], "paper")


DISTRIBUTIONS = {
    "lr": FloatDistribution(1e-4, 1.0, log=True),
    "width": IntDistribution(8, 64, step=8),
    "route": CategoricalDistribution(["left", None, True]),
}


def running(number, **attributes):
    trial = optuna.create_trial(
        state=TrialState.RUNNING,
        params={"lr": 0.01, "width": 24, "route": None},
        distributions=DISTRIBUTIONS,
        user_attrs={"summary": "a network", "macs": 120, **attributes},
        system_attrs={"fixed_params": {"width": 24}},
    )
    trial.number = number
    return trial


def complete(number):
    trial = optuna.create_trial(values=[0.5, float("inf")], params={}, distributions={}, user_attrs={"point": 1})
    trial.number = number
    return trial


def contents(trial):
    return (
        trial.number,
        trial.state,
        trial.params,
        trial.distributions,
        trial.values,
        trial.user_attrs,
        trial.system_attrs,
        trial.datetime_start,
        trial.datetime_complete,
    )


def test_what_is_appended_is_read_back(storage, study):
    rows = rows_of(storage)
    for trial in (running(0), complete(1), running(2)):
        trial_id = rows.append(study, trial)
        assert contents(storage.get_trial(trial_id)) == contents(trial)
    assert [trial.number for trial in storage.get_all_trials(study)] == [0, 1, 2]


def test_optuna_goes_on_with_what_is_appended(storage, study):
    rows_of(storage).append(study, running(0))
    again = optuna.load_study(study_name="paper", storage=storage)
    trial = again.ask(DISTRIBUTIONS)
    again.tell(trial, [0.25, 2.0])
    assert [one.number for one in again.trials] == [0, 1]


@pytest.mark.parametrize("number", [0, 2])
def test_a_trial_has_the_number_that_its_writer_expects_or_is_not_created(storage, study, number):
    rows = rows_of(storage)
    rows.append(study, running(0))
    with pytest.raises(OutdatedError, match="written to the study"):
        rows.append(study, running(number))
    assert len(storage.get_all_trials(study)) == 1


def test_numbers_of_other_studies_do_not_count(storage, study):
    other = storage.create_new_study([StudyDirection.MINIMIZE, StudyDirection.MINIMIZE], "other")
    rows_of(storage).append(other, running(0))
    rows_of(storage).append(study, running(0))
    assert [len(storage.get_all_trials(one)) for one in (study, other)] == [1, 1]


def test_a_change_is_written_as_a_whole(storage, study):
    rows = rows_of(storage)
    trial_id = rows.append(study, running(0, rungs={"1": 0.5}))
    rows.change(trial_id, Change({"macs": 7, "points": [{"metric": 0.5}]}, {"generation": 2}))
    rows.change(trial_id, Change({"reason": "none"}, state=TrialState.COMPLETE, values=[0.5, float("-inf")]))
    found = storage.get_trial(trial_id)
    assert (found.state, found.values) == (TrialState.COMPLETE, [0.5, float("-inf")])
    kept = {"summary": "a network", "rungs": {"1": 0.5}}
    assert found.user_attrs == {**kept, "macs": 7, "points": [{"metric": 0.5}], "reason": "none"}
    assert found.system_attrs == {"fixed_params": {"width": 24}, "generation": 2}
    assert abs((datetime.now() - found.datetime_complete).total_seconds()) < 600


def test_what_has_ended_is_not_changed(storage, study):
    rows = rows_of(storage)
    trial_id = rows.append(study, running(0))
    rows.change(trial_id, Change(state=TrialState.FAIL))
    for change in (Change({"macs": 7}), Change(state=TrialState.COMPLETE, values=[0.5, 1.0])):
        with pytest.raises(OutdatedError, match="written to the study"):
            rows.change(trial_id, change)
    found = storage.get_trial(trial_id)
    assert (found.state, found.values, found.user_attrs["macs"]) == (TrialState.FAIL, None, 120)


def test_a_condition_is_checked_before_anything_is_written(storage, study):
    rows = rows_of(storage)
    trial_id = rows.append(study, running(0, driver="first"))
    for other in ("second", None):
        with pytest.raises(OutdatedError, match="written to the study"):
            rows.change(trial_id, Change({"driver": "third"}), only_if=("driver", other))
    rows.change(trial_id, Change({"driver": "second"}), only_if=("driver", "first"))
    with pytest.raises(OutdatedError, match="written to the study"):
        rows.change(trial_id, Change(state=TrialState.FAIL), only_if=("driver", "first"))
    found = storage.get_trial(trial_id)
    assert (found.state, found.user_attrs["driver"]) == (TrialState.RUNNING, "second")


def test_a_waiting_trial_is_started_once(storage, study):
    trial = running(0)
    trial.state = TrialState.WAITING
    rows = rows_of(storage)
    trial_id = rows.append(study, trial)
    rows.change(trial_id, Change({"driver": "first"}, state=TrialState.RUNNING), only_if=("driver", None))
    with pytest.raises(OutdatedError, match="written to the study"):
        rows.change(trial_id, Change({"driver": "second"}, state=TrialState.RUNNING))
    assert storage.get_trial(trial_id).user_attrs["driver"] == "first"


def test_only_what_may_have_changed_is_read(storage, study):
    rows = rows_of(storage)
    ids = [rows.append(study, running(number)) for number in range(4)]
    assert rows.read(study, after=ids[-1], and_also=()) == []
    for after, and_also, expected in ((-1, (), [0, 1, 2, 3]), (ids[2], (), [3]), (ids[2], (ids[0],), [0, 3])):
        assert [one.number for one in rows.read(study, after=after, and_also=and_also)] == expected
    rows.change(ids[1], Change(state=TrialState.FAIL))
    assert [one.state for one in rows.read(study, after=ids[3], and_also=(ids[1],))] == [TrialState.FAIL]
