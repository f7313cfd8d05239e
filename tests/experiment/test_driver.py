"""The driver of a search on simulated workers: retries, inheritance, stops, interrupts, and the order of everything."""

import random
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from nasfuse.backends.base import Decision
from nasfuse.backends.interrupts import Interrupted
from nasfuse.backends.outcome import Died, Failed, Faulted, Measured, Stopped
from nasfuse.backends.simulated import SimulatedBackend, SimulatedTraining
from nasfuse.domain.modality import Modality
from nasfuse.domain.operating_point import Measurements, OperatingPoint
from nasfuse.errors import RecurringFailureError, RunFolderError
from nasfuse.experiment.driver import SearchDriver
from nasfuse.search.deaths import MAX_WORKER_DEATHS, Deaths
from nasfuse.search.scheduler import Scheduler
from nasfuse.search.space import Space
from nasfuse.spec.study import StudyConfig

PLAIN = {
    "name": "driver",
    "data": {"source": "digits"},
    "space": {
        "fields": {
            "network.route": {"subsets": True},
            "network.streams.*.width": {"choices": [8, 16, 32, 64], "when": {"network.route": {"has": "*"}}},
            "training.lr": {"float": [1e-3, 1e-1], "log": True},
        },
        "fixed": {"network.streams.*.encoder": "mlp", "training.epochs": 9},
    },
    "budget": {"trials": 9},
    "sampler": "random",
}
MODALITIES = (Modality("left", "image", (1, 8, 4)), Modality("right", "image", (1, 8, 4)))

#: What depends on the clock or on deaths.
PASSING = {"suggestion_s", "deaths", "released"}


def open_scheduler(
    storage=None,
    *,
    saved_epochs=lambda number: 0,
    take_begun=lambda number: True,
    clock=lambda: 0.0,
    seconds_of=None,
    **changes,
):
    budget = {"repeats": 1, **changes.pop("budget", PLAIN["budget"])}
    study = StudyConfig.parse({**PLAIN, **changes, "budget": budget})
    space = Space(study.space, MODALITIES, base={"metric": study.metric, "data": study.data.to_plain()})
    return Scheduler(
        storage or InMemoryStorage(),
        study,
        space,
        macs_of=lambda recipe: sum(stream.width for stream in recipe.network.streams.values()),
        reference=lambda: (0.1, 128.0),
        saved_epochs=saved_epochs,
        take_begun=take_begun,
        clock=clock,
        seconds_of=seconds_of,
    )


def training_of(assignment, *, epoch_s=1.0, lost_inheritance=None):
    """A made-up learning curve: wide networks end best and learn slowly; those that inherit weights end better."""
    width = sum(stream.width for stream in assignment.recipe.network.streams.values())
    start = 0.8 - 0.3 * random.Random(assignment.seed).random() - 2 / width
    start += 0 if lost_inheritance else 0.01 * len(assignment.inherited)
    curve = [start - (width / 128) * (1 - epoch / 9) ** 2 / 4 for epoch in range(1, 10)]
    point = OperatingPoint(curve[-1], width, 10, 1e-3, 1e-4, 100)
    return SimulatedTraining(
        curve, Measured(Measurements((point,), {"epochs": 9, "epochs_asked": 9})), epoch_s, lost_inheritance
    )


class Events:
    """Remembers what an observer is told."""

    def __init__(self):
        self.started_trials = []
        self.ends = {}
        self.done = []

    def started(self, assignment):
        self.started_trials.append(assignment.number)

    def ended(self, number, outcome, *, progress, seconds):
        assert number not in self.ends
        self.ends[number] = outcome
        self.done.append((progress.done, seconds))


def run(scheduler, train=training_of, *, n_workers=1):
    """Runs a session; returns what observers were told, and the assignments that workers got, in order."""
    handed_out, events = [], Events()

    def note(assignment):
        handed_out.append(assignment)
        return train(assignment)

    driver = SearchDriver(scheduler, n_workers=n_workers, observers=(events,))
    driver.run(SimulatedBackend(note, capacity=n_workers))
    return events, handed_out


def contents(scheduler):
    """All that a study holds but times."""
    return [
        (t.number, t.state, t.params, t.values, {k: v for k, v in t.user_attrs.items() if k not in PASSING})
        for t in (view.frozen for view in scheduler.trials())
    ]


def test_it_needs_neither_ray_nor_torch_nor_scipy():
    code = "import sys, nasfuse.experiment.driver; print(*sorted({'ray', 'torch', 'scipy'} & set(sys.modules)))"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_observers_see_every_start_and_every_end():
    events, _ = run(open_scheduler(budget={"trials": 30}))
    assert events.started_trials == list(range(30))
    assert {type(outcome) for outcome in events.ends.values()} == {Measured, Stopped}
    assert [done for done, _ in events.done] == list(range(1, 31))


def test_no_more_trials_run_at_a_time_than_the_study_may_have_under_way():
    storage = InMemoryStorage()
    run(open_scheduler(storage, budget={"trials": 3}))
    driver = SearchDriver(open_scheduler(storage, budget={"trials": 60}), n_workers=30)
    running = []

    def train(assignment):
        running.append(len(driver._running))
        return training_of(assignment)

    driver.run(SimulatedBackend(train, capacity=30))
    assert driver.n_workers == max(running) == 8


@pytest.mark.parametrize(("epochs_s", "now"), [(10.0, 340), (6.5, 292.5)])
def test_a_budget_in_minutes_is_counted_on_the_clock_of_the_backend(epochs_s, now):
    """276 s and a fifth more: a training of 90 s, begun at 270 s, stops after 340 s; one of 58.5 s ends in time."""
    backend = SimulatedBackend(lambda assignment: training_of(assignment, epoch_s=epochs_s))
    scheduler = open_scheduler(budget={"minutes": 4.6}, stopping="off", clock=backend.clock)
    events = Events()
    SearchDriver(scheduler, n_workers=1, observers=(events,)).run(backend)
    assert (backend.now, scheduler.seconds) == (now, now)
    *before, last = events.ends.values()
    assert len(before) == 276 // (9 * epochs_s)
    assert all(isinstance(outcome, Measured) for outcome in before)
    if now == 340:
        assert (type(last), last.epoch) == (Stopped, 7)
        assert scheduler.trials()[-1].stopped.epoch == 7
        assert scheduler.trials()[-1].is_out_of_time
    else:
        assert isinstance(last, Measured)


def test_hand_made_designs_and_repetitions_stop_when_the_time_is_spent():
    backend = SimulatedBackend(lambda assignment: training_of(assignment, epoch_s=20.0), capacity=3)
    space = {**PLAIN["space"], "baselines": {"left": {"network.route": "left"}, "right": {"network.route": "right"}}}
    scheduler = open_scheduler(space=space, budget={"minutes": 3.1, "repeats": 3}, clock=backend.clock)
    SearchDriver(scheduler, n_workers=3).run(backend)
    assert backend.now == 240, "186 s and a fifth more are 223.2 s"
    assert any(trial.is_stopped for trial in scheduler.trials())
    assert not any(trial.is_running for trial in scheduler.trials())


@pytest.mark.parametrize("is_known", [True, False])
def test_no_worker_waits_for_a_long_training_that_was_expected(is_known):
    """Two workers, 20 minutes: one network in 25 takes 380 s, the others take 9 s."""
    found = {}
    for n_workers in (1, 2, 4):
        durations = {}

        def seconds(recipe):
            return 380.0 if int(recipe.hash, 16) % 25 == 0 else 9.0

        def train(assignment, *, durations=durations):
            durations[assignment.number] = seconds(assignment.recipe)
            return training_of(assignment, epoch_s=seconds(assignment.recipe) / 9)

        backend = SimulatedBackend(train, capacity=n_workers)
        known = (lambda recipe, macs: seconds(recipe)) if is_known else None
        scheduler = open_scheduler(budget={"minutes": 20}, stopping="off", clock=backend.clock, seconds_of=known)
        SearchDriver(scheduler, n_workers=n_workers).run(backend)
        found[n_workers] = [trial.recipe_hash for trial in scheduler.trials() if trial.was_handed_out]
        if n_workers == 2:
            share = sum(durations.values()) / (2 * backend.now)
            assert (share > 0.9) is is_known, share
    n_first = min(map(len, found.values()))
    assert n_first > 20
    assert found[1][:n_first] == found[2][:n_first] == found[4][:n_first]


def test_a_training_that_never_reports_is_ended_with_its_process():
    """Others have a result; 300 s and two fifths more are 420 s."""

    def train(assignment):
        hangs = assignment.number == 3
        return SimulatedTraining([], Died(), epoch_s=1e6) if hangs else training_of(assignment, epoch_s=10.0)

    backend = SimulatedBackend(train, capacity=2)
    scheduler = open_scheduler(budget={"minutes": 5}, clock=backend.clock)
    events = Events()
    SearchDriver(scheduler, n_workers=2, observers=(events,)).run(backend)
    assert backend.now == 420
    assert events.ends[3] == Stopped(0, None)
    trial = scheduler.trials()[3]
    assert trial.is_out_of_time
    assert trial.stopped.metric is None


def test_a_first_training_that_takes_longer_than_the_time_starts_again_and_is_not_ended():
    times = []

    def train(assignment):
        times.append((assignment.ends_s, assignment.overdue_s, assignment.killed_s))
        return training_of(assignment, epoch_s=500.0)

    backend = SimulatedBackend(train)
    scheduler = open_scheduler(budget={"minutes": 5}, clock=backend.clock)
    SearchDriver(scheduler, n_workers=1).run(backend)
    (trial,) = scheduler.trials()
    assert trial.is_complete
    assert backend.now == 420 + 9 * 500
    assert times == [(330, 360, 420), (0, 0, None)], "it ends after an epoch, and reports each"


@pytest.mark.parametrize("late", [False, True])
def test_a_study_without_a_result_does_not_try_for_ever_what_dies(late):
    now = [0.0]
    scheduler = open_scheduler(budget={"minutes": 1}, clock=lambda: now[0])
    driver = SearchDriver(scheduler, n_workers=1)
    one, n_deaths = driver.next_trial(), 0
    now[0] = 80.0 if late else 1.0
    while not scheduler.trials()[one.number].is_failed:
        driver.on_end(one.number, Died())
        n_deaths += 1
        if not scheduler.trials()[one.number].is_failed:
            assert driver.next_trial().number == one.number
    assert n_deaths == MAX_WORKER_DEATHS + late


def test_a_training_that_is_ended_after_a_rung_is_out_of_time():
    now = [0.0]
    scheduler = open_scheduler(budget={"minutes": 1}, clock=lambda: now[0])
    driver = SearchDriver(scheduler, n_workers=2)
    first, second = driver.next_trial(), driver.next_trial()
    driver.on_end(first.number, training_of(first).outcome)
    rung, now[0] = second.rungs[0], 30.0
    assert driver.on_report(second.number, epoch=rung, metric=0.9) is Decision.CONTINUE
    now[0] = 91.0
    driver.on_end(second.number, Died())
    trial = scheduler.trials()[second.number]
    assert (trial.stopped.epoch, trial.stopped.metric, trial.is_out_of_time) == (rung, 0.9, True)


def test_a_trial_that_runs_again_ends_when_it_would_have_ended():
    now = [0.0]
    scheduler = open_scheduler(budget={"minutes": 1}, clock=lambda: now[0])
    driver = SearchDriver(scheduler, n_workers=1)
    one = driver.next_trial()
    assert (one.ends_s, one.overdue_s, one.killed_s) == (67.5, 75, 90)
    now[0] = 50.0
    driver.on_end(one.number, Died())
    again = driver.next_trial()
    assert (again.number, again.ends_s, again.overdue_s, again.killed_s) == (one.number, 17.5, 25, 40)


def test_a_study_without_a_result_goes_on_beyond_its_time():
    backend = SimulatedBackend(lambda assignment: training_of(assignment, epoch_s=100.0))
    scheduler = open_scheduler(budget={"minutes": 5}, clock=backend.clock)
    SearchDriver(scheduler, n_workers=1).run(backend)
    assert backend.now == 900
    assert [trial.is_complete for trial in scheduler.trials()] == [True]


class TestDeaths:
    def test_a_trial_whose_worker_died_is_the_next_and_the_same(self):
        deaths = {2, 5}

        def train(assignment):
            if assignment.number in deaths:
                deaths.remove(assignment.number)
                return SimulatedTraining([], Died())
            return training_of(assignment)

        scheduler = open_scheduler()
        events, handed_out = run(scheduler, train)
        assert [one.number for one in handed_out] == [0, 1, 2, 2, 3, 4, 5, 5, 6, 7, 8]
        assert handed_out[2] == handed_out[3]
        assert events.started_trials == list(range(9)), "observers are not told of retries"
        unbroken = open_scheduler()
        run(unbroken)
        assert contents(scheduler) == contents(unbroken)

    def test_deaths_without_progress_are_a_failure(self):
        def train(assignment):
            return SimulatedTraining([], Died()) if assignment.number == 3 else training_of(assignment)

        events, handed_out = run(open_scheduler(), train)
        assert [one.number for one in handed_out].count(3) == MAX_WORKER_DEATHS
        assert events.ends[3] == Failed(f"its process died {MAX_WORKER_DEATHS} times without progress")
        assert sorted(events.ends) == list(range(9))

    def test_deaths_with_progress_are_not(self):
        saved = {3: 0}

        def train(assignment):
            if assignment.number == 3 and saved[3] < 8:
                saved[3] += 1
                return SimulatedTraining([], Died())
            return training_of(assignment)

        scheduler = open_scheduler(saved_epochs=lambda number: saved.get(number, 0), stopping="off")
        events, handed_out = run(scheduler, train)
        assert [one.number for one in handed_out].count(3) == 9
        assert isinstance(events.ends[3], Measured)

    def test_every_second_worker_dies_once_or_twice(self):
        fates, lives = random.Random(0), Counter()

        def train(assignment):
            lives[assignment.number] += 1
            if lives[assignment.number] <= assignment.number % 4 - 1:
                return SimulatedTraining([], Died(), epoch_s=fates.random())
            return training_of(assignment, epoch_s=fates.random())

        scheduler, unbroken = open_scheduler(budget={"trials": 40}), open_scheduler(budget={"trials": 40})
        _, handed_out = run(scheduler, train, n_workers=4)
        run(unbroken)
        assert len(handed_out) == 40 + 10 * 1 + 10 * 2
        assert contents(scheduler) == contents(unbroken)


class TestFaults:
    """Faults are no failures: trials are tried again, and a search that meets nothing else ends unspent."""

    def run_with_early_deaths(self, dies, *, n_workers=2, **options):
        """Runs a search in which workers die before the training has begun; `dies` gets the trial and its attempt."""
        begun, met = {}, Counter()

        def train(assignment):
            number = assignment.number
            met[number] += 1
            begun[number] = not dies(number, met[number])
            return training_of(assignment) if begun[number] else SimulatedTraining([], Died(), epoch_s=0.1)

        scheduler = open_scheduler(take_begun=lambda number: begun.pop(number, False), stopping="off", **options)
        return scheduler, *self.run(scheduler, train, n_workers=n_workers)

    def test_early_deaths_count_for_no_trial(self):
        """However many there are, and while other trials end well."""
        scheduler, events, attempts, notes, _ = self.run_with_early_deaths(
            lambda number, attempt: attempt <= {3: 2 * MAX_WORKER_DEATHS, 4: 3}.get(number, 0)
        )
        unbroken = open_scheduler(stopping="off")
        run(unbroken, n_workers=2)
        assert contents(scheduler) == contents(unbroken)
        assert (attempts.count(3), attempts.count(4)) == (2 * MAX_WORKER_DEATHS + 1, 4)
        assert {type(outcome) for outcome in events.ends.values()} == {Measured}
        assert notes[0] == "trial 3 is tried again in 1 s: its worker died before its training began"

    @pytest.mark.parametrize("n_workers", [1, 4])
    def test_a_search_whose_workers_cannot_start_ends_unspent_and_goes_on_later(self, n_workers):
        storage = InMemoryStorage()
        for _ in range(3):
            scheduler, events, attempts, notes, _ = self.run_with_early_deaths(
                lambda *_: True, n_workers=n_workers, storage=storage
            )
            assert re.match(r"the worker of trial \d died 5 times in a row before its training began, as", notes[-1])
            assert notes[-1].endswith(
                "; remove the cause and run the same command again, which continues these trainings"
            )
            assert len(attempts) <= 5 * n_workers
            assert events.ends == {}
            assert scheduler.wants_more(running=0)
        scheduler, unbroken = open_scheduler(storage, stopping="off"), open_scheduler(stopping="off")
        for one in (scheduler, unbroken):
            run(one, n_workers=n_workers)
        assert contents(scheduler) == contents(unbroken)

    def test_one_machine_that_is_lost_with_many_trainings_does_not_end_a_search(self):
        _, events, attempts, *_ = self.run_with_early_deaths(
            lambda number, attempt: attempt == 1, n_workers=9, budget={"trials": 18}
        )
        assert Counter(attempts) == dict.fromkeys(range(18), 2)
        assert {type(outcome) for outcome in events.ends.values()} == {Measured}

    def run(self, scheduler, train, *, n_workers=1):
        """Returns what observers were told, the trials in the order of their attempts, notes, and waits in seconds."""
        events, notes, waits, attempts = Events(), [], [], []
        backend = SimulatedBackend(lambda one: attempts.append(one.number) or train(one), capacity=n_workers)
        now = [0.0]

        def sleep(seconds):
            waits.append(seconds)
            now[0] += seconds

        def clock():
            now[0] += 0.25  # simulated workers do not wait, so that the clock goes on by being read
            return now[0]

        options = {"observers": (events,), "note": notes.append, "clock": clock, "sleep": sleep}
        try:
            SearchDriver(scheduler, n_workers=n_workers, **options).run(backend)
        except RecurringFailureError as error:
            notes.append(str(error))
        return events, attempts, notes, waits

    @pytest.mark.parametrize("n_workers", [1, 3])
    def test_a_trial_is_tried_again_and_the_study_is_the_same(self, n_workers):
        met = Counter()

        def train(assignment):
            met[assignment.number] += 1
            if assignment.number in (0, 4) and met[assignment.number] <= 2:
                return SimulatedTraining([], Faulted("OSError: No space left on device"))
            return training_of(assignment)

        scheduler, unbroken = open_scheduler(), open_scheduler()
        events, attempts, notes, _ = self.run(scheduler, train, n_workers=n_workers)
        run(unbroken, n_workers=n_workers)
        assert contents(scheduler) == contents(unbroken)
        assert sorted(events.ends) == sorted(events.started_trials) == list(range(9))
        assert Counter(attempts) == {number: 3 if number in (0, 4) else 1 for number in range(9)}
        assert notes[0] == "trial 0 is tried again in 1 s: OSError: No space left on device"

    def test_waits_grow_with_faults_in_a_row(self):
        met = Counter()

        def train(assignment):
            met[assignment.number] += 1
            return SimulatedTraining([], Faulted("x")) if met[assignment.number] < 4 else training_of(assignment)

        _, _, notes, waits = self.run(open_scheduler(budget={"trials": 1}), train)
        assert [note.split()[6] for note in notes] == ["1", "2", "4"]
        assert [round(wait + 0.5) for wait in waits] == [1, 2, 4]

    @pytest.mark.parametrize("n_workers", [1, 3])
    def test_a_search_in_which_nothing_ends_well_ends_unspent_and_goes_on_later(self, n_workers):
        def full(assignment):
            return SimulatedTraining([], Faulted("OSError: No space left on device"), epoch_s=1 + assignment.number)

        storage, unbroken = InMemoryStorage(), open_scheduler()
        for _ in range(MAX_WORKER_DEATHS + 1):
            scheduler = open_scheduler(storage)
            events, attempts, notes, _ = self.run(scheduler, full, n_workers=n_workers)
            assert "5 trainings in a row were ended by what surrounds them, the last (trial" in notes[-1]
            assert notes[-1].endswith(
                "; remove the cause and run the same command again, which continues these trainings"
            )
            assert len(attempts) <= 5 + n_workers - 1
            assert events.ends == {}
            assert scheduler.wants_more(running=0)
        scheduler = open_scheduler(storage)
        for one in (scheduler, unbroken):
            run(one, n_workers=n_workers)
        assert contents(scheduler) == contents(unbroken)

    def test_a_trial_that_alone_meets_faults_fails(self):
        def train(assignment):
            if assignment.number == 3:
                return SimulatedTraining([], Faulted("MemoryError: 9 GB"), epoch_s=0.1)
            return training_of(assignment)

        events, attempts, _, _ = self.run(open_scheduler(), train, n_workers=2)
        assert attempts.count(3) >= 3
        assert events.ends.pop(3) == Failed("MemoryError: 9 GB")
        assert sorted(events.ends) == [0, 1, 2, 4, 5, 6, 7, 8]
        assert {type(outcome) for outcome in events.ends.values()} <= {Measured, Stopped}

    def test_progress_is_no_fault(self):
        saved = Counter()

        def train(assignment):
            if assignment.number == 3 and saved[3] < 8:
                saved[3] += 1
                return SimulatedTraining([], Faulted("x"), epoch_s=0.1)
            return training_of(assignment)

        scheduler = open_scheduler(saved_epochs=lambda number: saved[number], stopping="off")
        events, attempts, _, _ = self.run(scheduler, train, n_workers=2)
        assert attempts.count(3) == 9
        assert isinstance(events.ends[3], Measured)


def test_a_driver_whose_study_was_taken_over_writes_nothing_more():
    """The other driver has adopted the trials that run."""
    scheduler, begun = open_scheduler(), []

    def check():
        if len(begun) == 4:
            raise RunFolderError("another search has taken study driver over")

    def train(assignment):
        begun.append(assignment.number)
        return training_of(assignment)

    driver = SearchDriver(scheduler, n_workers=2, check=check)
    with pytest.raises(RunFolderError, match="another search has taken study driver over"):
        driver.run(SimulatedBackend(train, capacity=2))
    assert begun == [0, 1, 2, 3]
    assert [trial.is_running for trial in scheduler.trials()] == [False, False, True, True]


class TestInheritance:
    def test_a_trial_that_lost_its_inheritance_does_not_ask_for_it_again(self):
        died = set()

        def train(assignment):
            if assignment.inherited and assignment.number % 2 == 0:
                died.add(assignment.number)
                return SimulatedTraining([0.1], Died(), lost_inheritance="the file is gone")
            return training_of(assignment)

        scheduler = open_scheduler(inherit=True, budget={"trials": 30, "repeats": 2}, stopping="off")
        _, handed_out = run(scheduler, train)
        assert died
        for number in died:
            first, second = (one for one in handed_out if one.number == number)
            assert first.inherited
            assert (second.inherited, second.seed) == ({}, first.seed)
            attributes = scheduler.trials()[number].frozen.user_attrs
            assert attributes["from_scratch"] == "the file is gone"
            assert attributes["inherited"] == first.inherited, "what it should have had"


@pytest.mark.parametrize("inherit", [False, True])
def test_the_study_is_the_same_for_any_workers_and_durations(inherit):
    changes = {"inherit": inherit, "budget": {"trials": 40, "repeats": 2}}
    alone = open_scheduler(**changes)
    run(alone)
    kinds = {key for *_, attributes in contents(alone) for key in attributes if attributes[key] != {}}
    assert {"stopped", "repeat_of"} <= kinds
    assert ("inherited" in kinds) == inherit
    for n_workers in (2, 3, 4):  # more of them make the study's room larger
        durations = random.Random(n_workers)
        other = open_scheduler(**changes)
        run(other, lambda one, d=durations: training_of(one, epoch_s=d.expovariate(1)), n_workers=n_workers)
        assert contents(other) == contents(alone)


class TestEnds:
    def test_recurring_failures_end_the_search_after_what_runs(self):
        def train(assignment):
            return SimulatedTraining([], Failed("ValueError: no luck"), epoch_s=1 + assignment.number)

        scheduler = open_scheduler(budget={"trials": 100})
        with pytest.raises(RecurringFailureError, match=r"5 trainings in a row failed, .* with: ValueError: no luck"):
            run(scheduler, train, n_workers=2)
        states = [trial.frozen.state for trial in scheduler.trials()]
        assert 5 <= len(states) <= 7
        assert set(states) == {TrialState.FAIL}

    @pytest.mark.parametrize("n_trials", [5, 6])
    def test_recurring_failures_at_the_end_of_the_budget_end_the_search_in_the_same_way(self, n_trials):
        def train(assignment):
            good = n_trials > 5 and assignment.number == 0
            return training_of(assignment) if good else SimulatedTraining([], Failed("ValueError: no luck"))

        scheduler = open_scheduler(budget={"trials": n_trials})
        with pytest.raises(RecurringFailureError, match=r"5 trainings in a row failed, .* with: ValueError: no luck"):
            run(scheduler, train)
        assert not scheduler.wants_more(running=0)

    def test_a_measurement_that_is_not_finite_is_told_as_a_failure(self):
        def train(assignment):
            point = OperatingPoint(float("nan"), 8, 10, 1e-3, 1e-4, 100)
            return SimulatedTraining([], Measured(Measurements((point,), {"epochs": 9, "epochs_asked": 9})))

        events, _ = run(open_scheduler(budget={"trials": 1}), train)
        (outcome,) = events.ends.values()
        assert outcome == Failed("the measurements are not finite: metric is nan")

    def test_a_space_that_is_used_up(self):
        space = {
            "fields": {"network.streams.*.width": {"choices": [8, 16]}},
            "fixed": {"network.streams.*.encoder": "mlp", "network.route": "left"},
        }
        for n_workers in (1, 4):
            scheduler = open_scheduler(space=space)
            events, _ = run(scheduler, n_workers=n_workers)
            assert sorted(events.ends) == [0, 1]
            assert scheduler.exhausted

    @pytest.mark.parametrize("is_swallowed", [False, True])
    def test_an_interrupt_releases_the_trials_that_run(self, is_swallowed):
        """A death of the process would count for them, and three would make them fail."""

        def train(assignment):
            if assignment.number == 3:
                try:
                    signal.raise_signal(signal.SIGTERM)
                except Interrupted:
                    if not is_swallowed:
                        raise
            return training_of(assignment)

        storage = InMemoryStorage()
        for _ in range(MAX_WORKER_DEATHS + 1):
            scheduler = open_scheduler(storage)
            with pytest.raises(Interrupted, match="SIGTERM"):
                run(scheduler, train, n_workers=2)
            assert any(trial.frozen.state is TrialState.RUNNING for trial in scheduler.trials())
        scheduler, unbroken = open_scheduler(storage), open_scheduler()
        run(scheduler)
        run(unbroken)
        assert contents(scheduler) == contents(unbroken)

    def test_a_signal_counts_more_than_a_storage_that_is_away(self, monkeypatch):
        """In either order: the storage is away when the running trials are to be released, or before the signal."""

        def away(*_):
            raise RunFolderError("the storage of the study has not answered for 0 s")

        def train(assignment):
            signal.raise_signal(signal.SIGTERM)

        scheduler = open_scheduler()
        monkeypatch.setattr(scheduler, "release", away)
        with pytest.raises(Interrupted, match="SIGTERM"):
            run(scheduler, train)

        def strike_and_fail():
            signal.raise_signal(signal.SIGTERM)
            away()

        scheduler = open_scheduler()
        monkeypatch.setattr(scheduler, "next", strike_and_fail)
        with pytest.raises(Interrupted, match="SIGTERM"):
            run(scheduler)

    @pytest.mark.parametrize(
        ("method", "is_complete"),
        [("create_new_trial", False), ("set_trial_user_attr", True), ("set_trial_state_values", True)],
    )
    def test_an_interrupt_waits_until_what_belongs_together_is_written(self, method, is_complete, monkeypatch):
        """`method`: of the storage, during which the signal comes, when a trial is drawn or ends."""
        storage = InMemoryStorage()
        scheduler = open_scheduler(storage)
        write, struck = getattr(storage, method), []

        def strike(*arguments, **options):
            result = write(*arguments, **options)
            if not struck:
                struck.append(method)
                signal.raise_signal(signal.SIGTERM)
            return result

        monkeypatch.setattr(storage, method, strike)
        with pytest.raises(Interrupted, match="SIGTERM"):
            run(scheduler)
        trial = scheduler.trials()[0]
        assert struck and trial.has_recipe
        assert (trial.is_complete, trial.is_running) == (is_complete, not is_complete)
        assert trial.is_released is not is_complete
        assert trial.deaths == Deaths(), "an interrupt counts for no trial"
        run(open_scheduler(storage))
        unbroken = open_scheduler()
        run(unbroken)
        assert contents(open_scheduler(storage)) == contents(unbroken)
