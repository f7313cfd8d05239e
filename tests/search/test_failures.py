"""Failures whose cause is none of the networks' own end a search, and are not counted in its budget."""

import optuna
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from nasfuse.errors import RecurringFailureError
from nasfuse.search.failures import EQUAL_FAILURES, FIRST_FAILURES, kind_of, recurring_failures
from nasfuse.search.progress import summarise
from nasfuse.search.storage import open_storage, sqlite_url
from nasfuse.search.trial import TrialView
from nasfuse.search.views import trials_of

NAN = "NonFiniteError: the training loss became nan in epoch {}; lower training.lr"
SHAPE = "RuntimeError: shapes ({0}x8 and 7x{0}) cannot be multiplied"


def outcomes_as_trials(outcomes):
    """Trials from reasons of failures, `ok`, or `running`; each has a recipe of its own."""
    trials = []
    for number, outcome in enumerate(outcomes):
        attributes = {"recipe_hash": f"r{number}", "macs": 1}
        state = {"ok": TrialState.COMPLETE, "running": TrialState.RUNNING}.get(outcome, TrialState.FAIL)
        if state is TrialState.FAIL:
            attributes["reason"] = outcome.format(number)
        values = [0.5, 1.0] if state is TrialState.COMPLETE else None
        trial = optuna.create_trial(state=state, values=values, user_attrs=attributes)
        trial.number = number
        trials.append(TrialView(trial))
    return trials


@pytest.mark.parametrize(
    ("outcomes", "found"),
    [
        ([], []),
        (["ok"] * 20, []),
        ([SHAPE] * 4, []),
        ([SHAPE] * 5, [0, 1, 2, 3, 4]),
        (["ok", *[SHAPE] * 5], [1, 2, 3, 4, 5]),
        ([*[SHAPE] * 4, "ok", *[SHAPE] * 4], []),
        ([*[SHAPE] * 5, "ok"], []),
        ([SHAPE, "running", SHAPE, SHAPE, "running", SHAPE, SHAPE, "running"], [0, 2, 3, 5, 6]),
        (["ok", "KeyError: a", *[SHAPE] * 4], []),
        (["ok", *["KeyError: a", SHAPE] * 10], []),
        (["KeyError: a", SHAPE] * 4, []),
        (["KeyError: a", SHAPE] * 5, list(range(10))),
        ([NAN] * 9, []),
        ([NAN] * 10, list(range(10))),
        (["ok", *[NAN] * 30], []),
        (["ok", *["OutOfMemoryError: tried to allocate {} MiB"] * 30], []),
        (["ok", *["RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory"] * 30], []),
        ([*[NAN] * 5, *[SHAPE] * 5], list(range(10))),
        (["ok", *[NAN] * 5, *[SHAPE] * 5], [6, 7, 8, 9, 10]),
    ],
)
def test_rows_of_failures(outcomes, found):
    assert [trial.number for trial in recurring_failures(outcomes_as_trials(outcomes))] == found


def test_one_recipe_counts_once():
    trials = outcomes_as_trials([SHAPE] * 8)
    for trial in trials[3:]:
        trial.frozen.user_attrs["recipe_hash"] = "r3"
    assert recurring_failures(trials) == []


def test_rejected_draws_neither_interrupt_nor_count():
    trials = outcomes_as_trials(["ok", *[SHAPE] * 7])
    for trial in trials[2:5]:
        del trial.frozen.user_attrs["recipe_hash"]
    assert recurring_failures(trials) == []


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("ValueError: got 3 of 0.25, 1e-05", "ValueError: got # of #, #"),
        ("OSError: /runs/trials/12/resume.pt at 0x7f3a01c2", "OSError: /runs/trials/#/resume.pt at #"),
    ],
)
def test_failures_that_differ_in_numbers_are_of_one_kind(reason, kind):
    (trial,) = outcomes_as_trials([reason])
    assert kind_of(trial) == kind


def as_read(storage):
    """The trials as other processes see them."""
    return trials_of(optuna.load_study(study_name="paper", storage=storage))


class TestInASearch:
    def fail_all(self, scheduler, *, n_workers=1):
        """Returns how many trials were handed out before the search ended."""
        running = []
        count = 0
        while True:
            try:
                assignment = scheduler.next() if len(running) < n_workers else None
            except RecurringFailureError as error:
                for one in running:
                    scheduler.fail(one.number, SHAPE.format(one.number))
                return count, error
            if assignment is not None:
                running.append(assignment)
                count += 1
            else:
                one = running.pop(0)
                scheduler.fail(one.number, SHAPE.format(one.number))

    @pytest.mark.parametrize("n_workers", [1, 4])
    def test_equal_failures_end_the_search(self, open_scheduler, n_workers):
        scheduler = open_scheduler(InMemoryStorage())
        count, error = self.fail_all(scheduler, n_workers=n_workers)
        assert EQUAL_FAILURES <= count < EQUAL_FAILURES + n_workers
        assert error.trial == EQUAL_FAILURES - 1
        assert error.exit_code == 1
        with pytest.raises(
            RecurringFailureError,
            match=r"5 trainings in a row failed, the last \(trial 4\) with: RuntimeError: shapes \(4x8",
        ):
            raise error

    @pytest.mark.parametrize("kind", ["memory", "sqlite"])
    def test_continuing_after_failures_has_the_whole_budget(self, open_scheduler, make_study, measured, tmp_path, kind):
        storage = InMemoryStorage() if kind == "memory" else open_storage(sqlite_url(tmp_path / "study.db"))
        study = make_study(budget={"trials": 9})
        self.fail_all(open_scheduler(storage, study), n_workers=4)
        again = open_scheduler(storage, study)
        count, _ = self.fail_all(again)
        assert count == EQUAL_FAILURES, "it ends again at once while the cause is there"
        mended = open_scheduler(storage, study)
        assignments = []
        while mended.wants_more(running=0):
            assignments.append(mended.next())
            mended.finish(assignments[-1].number, measured())
        assert len(assignments) == 9
        assert [one.baseline for one in assignments[:3]] == ["one: left", "one: right", "both"], "they get their chance"
        for trials in (mended.trials(), as_read(storage)):
            progress = summarise(trials, mended.objectives)
            assert (progress.done, progress.states["complete"]) == (9, 9)

    def test_a_search_continues_where_a_part_of_the_space_cannot_be_trained(self, open_scheduler, make_study, measured):
        scheduler = open_scheduler(InMemoryStorage(), make_study(budget={"trials": 40}, sampler="random"))
        n_done = 0
        while scheduler.wants_more(running=0):
            one = scheduler.next()
            n_done += 1
            if one.recipe.training.lr > 1e-2 and n_done > 1:
                scheduler.fail(one.number, NAN.format(n_done))
            else:
                scheduler.finish(one.number, measured())
        assert n_done == 40

    def test_first_failures_of_every_kind(self, open_scheduler, make_study):
        scheduler = open_scheduler(InMemoryStorage(), make_study(budget={"trials": 40}))
        for number in range(FIRST_FAILURES):
            scheduler.fail(scheduler.next().number, f"KeyError: {'x' * number}")
        with pytest.raises(RecurringFailureError, match="10 trainings in a row failed"):
            scheduler.next()


def run(scheduler, measured, *, fails=lambda assignment: False):
    """Runs a study to its end, and returns its assignments."""
    done = []
    while scheduler.wants_more(running=0):
        assignment = scheduler.next()
        done.append(assignment)
        if fails(assignment):
            scheduler.fail(assignment.number, f"KeyError: {assignment.recipe.hash}")
        else:
            scheduler.finish(assignment.number, measured())
    return done


def test_what_failed_is_run_again_first_and_in_place_of_the_budget_it_had(open_scheduler, make_study, measured):
    storage, study = InMemoryStorage(), make_study(budget={"trials": 9})
    first = run(open_scheduler(storage, study), measured, fails=lambda one: one.number in (0, 4))
    assert [one.baseline for one in first][:2] != [None, None]
    assert run(open_scheduler(storage, study), measured) == [], "failures are final if nobody asks"
    again = run(open_scheduler(storage, study, retry_failed=True), measured)
    lost = [first[0], first[4]]
    assert [(one.recipe.hash, one.baseline) for one in again] == [(one.recipe.hash, one.baseline) for one in lost]
    trials = open_scheduler(storage, study).trials()
    assert [trial.number for trial in trials if trial.is_void] == [0, 4]
    assert sum(trial.was_trained for trial in trials) == 9 and not any(trial.is_waiting for trial in trials)
    assert run(open_scheduler(storage, study, retry_failed=True), measured) == [], "nothing has failed since"


def test_trainings_that_are_to_be_run_again_survive_the_death_of_the_driver(open_scheduler, make_study, measured):
    storage, study = InMemoryStorage(), make_study(budget={"trials": 4})
    first = run(open_scheduler(storage, study), measured, fails=lambda one: one.number == 1)
    open_scheduler(storage, study, retry_failed=True)  # and dies
    (again,) = run(open_scheduler(storage, study), measured)
    assert again.recipe.hash == first[1].recipe.hash
