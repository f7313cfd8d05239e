"""A storage that does not answer is waited for, and nothing is written to it twice."""

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from nasfuse.errors import RunFolderError
from nasfuse.search.patience import LONGEST_OUTAGE_S, Patience
from nasfuse.search.write_through import WriteThroughStorage


class Clock:
    """Goes on while somebody sleeps."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class Flaky:
    """A storage whose calls fail `n_outages` times; with `after`, only when they were carried out."""

    def __init__(self, n_outages, *, after=False):
        self.storage, self.n_outages, self.after, self.is_on = InMemoryStorage(), n_outages, after, False

    def __getattr__(self, name):
        def call(*arguments, **options):
            fails = self.is_on and self.n_outages > 0
            if fails and not self.after:
                self.n_outages -= 1
                raise StorageInternalError("the server is away")
            result = getattr(self.storage, name)(*arguments, **options)
            if fails:
                self.n_outages -= 1
                raise StorageInternalError("the connection was cut")
            return result

        return call


class Away:
    """A call that fails."""

    def __call__(self):
        raise OSError("the server is away")


def opened(flaky, patience):
    """Returns a study that writes through to `flaky`, whose outages begin now."""
    storage = WriteThroughStorage(flaky, "x", patience=patience)
    study = optuna.create_study(study_name="x", storage=storage)
    flaky.is_on = True
    return study, storage


def patient(notes):
    clock = Clock()
    return Patience(note=notes.append, clock=clock, sleep=clock.sleep), clock


@pytest.mark.parametrize("after", [False, True], ids=["not carried out", "carried out, and the answer lost"])
@pytest.mark.parametrize("n_outages", [1, 4])
def test_a_trial_is_there_once_whatever_was_interrupted(after, n_outages):
    notes = []
    patience, _ = patient(notes)
    flaky = Flaky(0, after=after)
    study, storage = opened(flaky, patience)
    for number in range(3):
        trial = study.ask()
        trial.suggest_float("a", 0, 1)
        flaky.n_outages = n_outages
        storage.publish(trial._trial_id)
        flaky.n_outages = n_outages
        storage.set_trial_user_attr(trial._trial_id, "points", [number])
        flaky.n_outages = n_outages
        study.tell(trial, 0.5 + number)
    assert flaky.n_outages == 0
    flaky.is_on = False
    (behind,) = flaky.get_all_studies()
    found = flaky.get_all_trials(behind._study_id)
    assert [(one.number, one.state, one.value, one.user_attrs) for one in found] == [
        (number, TrialState.COMPLETE, 0.5 + number, {"points": [number]}) for number in range(3)
    ]
    assert "does not answer" in notes[0] and "answers again" in notes[1]


def test_the_end_of_patience_is_one_sentence():
    notes = []
    patience, clock = patient(notes)
    with pytest.raises(RunFolderError, match=r"has not answered for 6\d\d s: the server is away; when it is back, run"):
        patience(Away())
    assert LONGEST_OUTAGE_S <= clock.now < LONGEST_OUTAGE_S + 30
    assert len(notes) == 1


def test_a_signal_ends_the_wait():
    clock = Clock()
    patience = Patience(is_ending=lambda: clock.now > 5, clock=clock, sleep=clock.sleep)
    with pytest.raises(RunFolderError, match="run the same command again"):
        patience(Away())
    assert clock.now < 20


def test_another_trial_in_its_place_is_no_result_of_an_earlier_call():
    patience, _ = patient([])
    flaky = Flaky(0)
    study, storage = opened(flaky, patience)
    (behind,) = flaky.storage.get_all_studies()
    flaky.storage.create_new_trial(behind._study_id)
    trial = study.ask()
    trial.suggest_float("a", 0, 1)
    flaky.n_outages = 1
    with pytest.raises(RunFolderError, match="another search writes"):
        storage.publish(trial._trial_id)
