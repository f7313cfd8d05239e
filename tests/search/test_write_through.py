"""The storage behind the in-memory one holds exactly what an Optuna study would have written there."""

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from nasfuse.errors import RunFolderError
from nasfuse.search.storage import open_storage, sqlite_url
from nasfuse.search.write_through import WriteThroughStorage


@pytest.fixture(params=["memory", "sqlite"])
def behind(request, tmp_path):
    return InMemoryStorage() if request.param == "memory" else open_storage(sqlite_url(tmp_path / "study.db"))


def open_study(behind):
    storage = WriteThroughStorage(behind, "paper")
    directions = ["maximize", "minimize"]
    study = optuna.create_study(storage=storage, study_name="paper", directions=directions, load_if_exists=True)
    return storage, study


def seen(behind):
    """What any other program reads."""
    return optuna.load_study(study_name="paper", storage=behind).trials


def contents(trials):
    return [(t.number, t.state, t.params, t.distributions, t.values, t.user_attrs, t.system_attrs) for t in trials]


def test_a_draft_is_written_when_it_is_published(behind):
    storage, study = open_study(behind)
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    trial.set_user_attr("note", [1, "two"])
    assert seen(behind) == []
    storage.publish(trial._trial_id)
    storage.publish(trial._trial_id)
    (written,) = seen(behind)
    assert written.state is TrialState.RUNNING
    assert written.params == trial.params
    assert written.user_attrs == {"note": [1, "two"]}


def test_results_and_attributes_follow(behind):
    storage, study = open_study(behind)
    study.set_user_attr("reference", [0.1, 1000.0])
    trial = study.ask({"x": FloatDistribution(0, 1)})
    storage.publish(trial._trial_id)
    storage.set_trial_user_attr(trial._trial_id, "points", [{"metric": 0.5}])
    storage.set_trial_system_attr(trial._trial_id, "nsga:generation", 0)
    study.tell(trial.number, [0.5, 3.0])
    assert contents(seen(behind)) == contents(study.trials)
    assert optuna.load_study(study_name="paper", storage=behind).user_attrs == {"reference": [0.1, 1000.0]}


@pytest.mark.parametrize("state", [TrialState.FAIL, TrialState.PRUNED])
def test_a_draft_that_ends_is_published(behind, state):
    _, study = open_study(behind)
    trial = study.ask({"x": FloatDistribution(0, 1)})
    trial.set_user_attr("reason", "too costly")
    study.tell(trial.number, state=state)
    assert contents(seen(behind)) == contents(study.trials)


def test_a_new_process_continues_from_the_storage(behind):
    storage, study = open_study(behind)
    for value in (0.25, 0.75):
        trial = study.ask({"x": FloatDistribution(0, 1)})
        storage.publish(trial._trial_id)
        study.tell(trial.number, [value, 1.0])
    running = study.ask({"x": FloatDistribution(0, 1)})
    storage.publish(running._trial_id)
    study.ask({"x": FloatDistribution(0, 1)})  # a draft dies with its process
    _, again = open_study(behind)
    assert contents(again.trials) == contents(study.trials[:3])
    again.tell(running.number, [0.5, 2.0])
    assert contents(seen(behind)) == contents(again.trials)


def test_other_studies_of_the_storage_are_unchanged(behind):
    other = optuna.create_study(storage=behind, study_name="other")
    other.add_trial(optuna.create_trial(value=1.0))
    storage, study = open_study(behind)
    trial = study.ask()
    storage.publish(trial._trial_id)
    assert len(optuna.load_study(study_name="other", storage=behind).trials) == 1
    assert len(seen(behind)) == 1


def test_a_second_writer_is_noticed(behind):
    storage, study = open_study(behind)
    optuna.load_study(study_name="paper", storage=behind).ask()
    trial = study.ask()
    with pytest.raises(RunFolderError, match="another search writes to study paper in the same storage"):
        storage.publish(trial._trial_id)
    assert [t.state for t in seen(behind)] == [TrialState.RUNNING], "only the other one's is there"


def test_what_is_shown_as_running_looks_as_it_did_when_it_was_handed_out(behind):
    storage, study = open_study(behind)
    for _ in range(2):
        trial = study.ask({"x": FloatDistribution(0, 1)})
        trial.set_user_attr("macs", 7)
        storage.publish(trial._trial_id)
    before = contents(study.trials)
    for number, value in enumerate((0.25, 0.75)):
        for key in ("points", "record", "rungs"):
            storage.set_trial_user_attr(trial._trial_id - 1 + number, key, {"any": 1})
        study.tell(number, [value, 1.0])
    after = contents(study.trials)
    with storage.as_running([0, 1]):
        assert contents(study.trials) == before
        assert study.get_trials(states=(TrialState.COMPLETE,)) == []
    with storage.as_running([1]):
        assert contents(study.trials) == [after[0], before[1]]
        assert study.best_trials == [study.trials[0]]
    assert contents(study.trials) == contents(seen(behind)) == after, "nothing was lost"


def test_a_draft_is_drawn_anew(behind):
    storage, study = open_study(behind)
    draft = study.ask()
    draft.suggest_float("x", 0, 1)
    draft.set_user_attr("note", "first")
    storage.reset_draft(draft._trial_id, fixed={"y": 0.25})
    again = optuna.trial.Trial(study, draft._trial_id)
    assert again.number == draft.number == 0
    assert again.suggest_float("y", 0, 1) == 0.25
    storage.publish(again._trial_id)
    (trial,) = seen(behind)
    assert (trial.params, trial.user_attrs) == ({"y": 0.25}, {})
