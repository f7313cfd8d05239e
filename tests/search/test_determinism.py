"""The same seed gives the same study, whatever the number of workers, the durations and the deaths of the driver."""

import heapq
import random

import optuna
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from nasfuse.domain.operating_point import Measurements, OperatingPoint
from nasfuse.errors import RunFolderError
from nasfuse.search.deaths import Deaths
from nasfuse.search.live_drivers import LiveDrivers
from nasfuse.search.progress import summarise
from nasfuse.search.storage import open_storage, sqlite_url
from nasfuse.search.trial_rows import OutdatedError

SPACE = {
    "fields": {
        "network.route": {"subsets": True, "choices": ["each > all"]},
        "network.streams.*.width": {"choices": [8, 16, 32, 64], "when": {"network.route": {"has": "*"}}},
        "network.router.threshold": {"float": [0.1, 0.9], "when": {"network.route": {"dynamic": True}}},
        "training.lr": {"float": [1e-3, 1e-1], "log": True},
    },
    "fixed": {"network.streams.*.encoder": "mlp", "training.epochs": 9},
    "baselines": {"one": {"network.route": "each"}, "dynamic": {"network.route": "each > all"}},
}

#: What depends on the clock, on deaths, or on which driver was faster.
PASSING = {"suggestion_s", "deaths", "released", "driver"}


def error_of(assignment, epoch):
    """A made-up learning curve: wide networks end best and learn slowly; those that inherit weights end better."""
    widths = sum(stream.width for stream in assignment.recipe.network.streams.values())
    luck = random.Random(assignment.seed).random()
    gain = sum(0.01 + source / 1e4 for source in assignment.inherited.values())
    return 0.2 - gain + 0.3 * luck + 10 / widths + (widths / 128) * (1 - epoch / 9) ** 2 / 4


def measure(assignment):
    recipe = assignment.recipe
    macs = sum(stream.width for stream in recipe.network.streams.values())
    knobs = [{}]
    if recipe.network.router is not None:
        knobs = [{"threshold": t} for t in (recipe.network.router.threshold, 1.0, 0.3, 0.6, 0.0)]
    points = tuple(
        OperatingPoint(1 - error_of(assignment, 9) - index / 50, macs - index, 10, 1e-3, 1e-4, 100, knob)
        for index, knob in enumerate(knobs)
    )
    return Measurements(points, {"epochs": 9, "epochs_asked": 9})


class Workers:
    """Simulated workers; an epoch takes as long as a random number says."""

    def __init__(self, scheduler, *, n_workers, seed):
        self.scheduler, self.n_workers = scheduler, n_workers
        self.random = random.Random(seed)
        self.events: list[tuple[float, int, int]] = []
        self.running = {}

    def run(self, *, deaths_after=None):
        """Runs the study to its end, or until so many epochs were run: then the driver is dead."""
        for epochs, _ in enumerate(self.epochs(), start=1):
            if epochs == deaths_after:
                return

    def epochs(self):
        """Runs the study to its end; yields before the end of every epoch, and where only other drivers run trials."""
        now = 0.0
        while True:
            while len(self.running) < self.n_workers and self.scheduler.wants_more(running=len(self.running)):
                assignment = self.scheduler.next()
                if assignment is None:
                    break
                self.running[assignment.number] = assignment
                heapq.heappush(self.events, (now + self.random.expovariate(1), assignment.number, 1))
            if self.events:
                now, number, epoch = heapq.heappop(self.events)
                yield
                self.one_epoch(now, number, epoch)
            elif self.scheduler.others_run:
                yield
            else:
                return

    def one_epoch(self, now, number, epoch):
        assignment = self.running[number]
        metric = 1 - error_of(assignment, epoch)
        if epoch in assignment.rungs and not self.scheduler.should_continue(number, epoch=epoch, metric=metric):
            self.scheduler.stop(number, epoch=epoch, metric=metric)
        elif epoch == 9 and assignment.seed % 13 == 0:
            self.scheduler.fail(number, "no mood")
        elif epoch == 9:
            self.scheduler.finish(number, measure(assignment))
        else:
            heapq.heappush(self.events, (now + self.random.expovariate(1), number, epoch + 1))
            return
        del self.running[number]


def contents(scheduler):
    """All that a study holds but times."""
    return [
        (
            t.number,
            t.frozen.state,
            t.params,
            t.frozen.values,
            {k: v for k, v in t.frozen.user_attrs.items() if k not in PASSING},
        )
        for t in scheduler.trials()
    ]


def long_if_wide(recipe, macs):
    """Returns the expected seconds of a training; those of routed and of wide networks are long for an hour."""
    return 600.0 if recipe.network.router is not None else 300.0 if macs >= 64 else 1.0


@pytest.fixture
def make_timed(make_study, open_scheduler):
    """Opens a study of an hour whose long trainings are not waited for like the others."""

    def open_one(storage=None, drivers=None, **changes):
        budget = {"trials": 60, "minutes": 60, "repeats": 2}
        study = make_study(space=SPACE, **{"budget": budget, "max_macs": 120, **changes})
        storage = storage or InMemoryStorage()
        return open_scheduler(storage, study, drivers=drivers, seconds_of=long_if_wide, clock=lambda: 0.0)

    return open_one


@pytest.mark.parametrize(("sampler", "inherit"), [("tpe", False), ("random", True)])
def test_long_trainings_change_nothing_for_several_workers_or_a_restart(make_timed, sampler, inherit):
    alone = run(make_timed(sampler=sampler, inherit=inherit), n_workers=1)
    attributes = [one for *_, one in alone]
    long = {number for number, one in enumerate(attributes) if one.get("expected_s", 0) > 1}
    assert len(long) > 5
    assert any(one.get("point_of") in long for one in attributes), "their operating points are observed, too"
    assert run(make_timed(sampler=sampler, inherit=inherit), n_workers=7, seed=5) == alone
    storage = InMemoryStorage()
    scheduler = make_timed(storage, sampler=sampler, inherit=inherit)
    Workers(scheduler, n_workers=3, seed=0).run(deaths_after=200)
    scheduler.release()
    Workers(make_timed(storage, sampler=sampler, inherit=inherit), n_workers=2, seed=0).run()
    assert contents(make_timed(storage, sampler=sampler, inherit=inherit)) == alone


@pytest.fixture
def make(make_study, open_scheduler):
    def open_one(storage=None, drivers=None, **changes):
        study = make_study(space=SPACE, **{"budget": {"trials": 45, "repeats": 2}, "max_macs": 120, **changes})
        return open_scheduler(storage or InMemoryStorage(), study, drivers=drivers)

    return open_one


def run(scheduler, *, n_workers, seed=0):
    Workers(scheduler, n_workers=n_workers, seed=seed).run()
    return contents(scheduler)


@pytest.mark.parametrize(
    ("sampler", "inherit"), [("tpe", False), ("nsga2", False), ("random", False), ("tpe", True), ("random", True)]
)
def test_any_number_of_workers_and_any_durations(make, sampler, inherit):
    alone = run(make(sampler=sampler, inherit=inherit), n_workers=1)
    for n_workers, seed in ((2, 1), (4, 3), (7, 5)):
        assert run(make(sampler=sampler, inherit=inherit), n_workers=n_workers, seed=seed) == alone
    kinds = {key for *_, attributes in alone for key in attributes if attributes[key] != {}}
    assert {"stopped", "point_of", "repeat_of", "reason", "baseline"} <= kinds, "everything that can happen did"
    assert ("inherited" in kinds) == inherit


def test_inherited_weights_and_the_front_are_deterministic(make):
    scheduler = make(inherit=True)
    Workers(scheduler, n_workers=4, seed=0).run()
    trials = scheduler.trials()
    heirs = [
        trial
        for trial in trials
        if trial.frozen.user_attrs.get("inherited") and "point_of" not in trial.frozen.user_attrs
    ]
    assert heirs
    for heir in heirs:
        assert not {"baseline", "repeat_of"} & heir.frozen.user_attrs.keys()
        earlier = [trial.number for trial in trials[: heir.number] if trial.was_handed_out]
        for source in heir.frozen.user_attrs["inherited"].values():
            assert trials[source].frozen.state is TrialState.COMPLETE
            assert source in earlier[: len(earlier) - (scheduler.visibility_lag - 1)], (
                "it depends on what any number of workers knows"
            )
    counted = {number for member in summarise(trials, scheduler.objectives).front for number in member.trainings}
    assert counted
    assert not counted & {heir.number for heir in heirs}
    repeated = {trial.frozen.user_attrs.get("repeat_of") for trial in trials}
    assert repeated & {heir.number for heir in heirs}, "what promises to be on the front is trained from scratch"


@pytest.mark.parametrize(("kind", "inherit"), [("memory", False), ("sqlite", False), ("memory", True)])
def test_a_driver_that_dies_again_and_again(make, tmp_path, kind, inherit):
    unbroken = run(make(inherit=inherit), n_workers=1)
    storage = InMemoryStorage() if kind == "memory" else open_storage(sqlite_url(tmp_path / "study.db"))
    fates = random.Random(7)
    for session in range(60):
        scheduler = make(storage, inherit=inherit)
        for trial in scheduler.trials():  # an orderly interrupt: the deaths are no fault of the trials
            assert trial.deaths == Deaths()
        workers = Workers(scheduler, n_workers=fates.choice([1, 2, 4]), seed=session)
        workers.run(deaths_after=fates.randrange(10, 60))
        scheduler.release()
        if not scheduler.wants_more(running=0):
            break
    assert not scheduler.wants_more(running=0)
    assert contents(make(storage, inherit=inherit)) == unbroken


def share(storage, make, *, seed, deaths=0, **changes):
    """Runs a study with two drivers, the first of which are killed, and returns what each of the last two sees."""
    order = random.Random(seed)

    def start(token):
        drivers = LiveDrivers(storage, "paper", token=token, clock=lambda: 0.0)
        scheduler = make(storage, drivers, **changes)
        return drivers, scheduler, Workers(scheduler, n_workers=3, seed=seed).epochs()

    running = [start("a"), start("b")]
    schedulers = [scheduler for _, scheduler, _ in running]
    for turn in range(100000):
        if not running:
            return [contents(scheduler) for scheduler in schedulers[-2:]]
        one = order.choice(running)
        if turn % 60 == 59 and len(schedulers) < 2 + deaths:
            running.remove(one)
            one[0].leave()  # what the others do with a driver that gives no sign of life
            running.append(start(f"{turn}"))
            schedulers.remove(one[1])
            schedulers.insert(0, one[1])
            schedulers.append(running[-1][1])
        elif next(one[2], "end") == "end":
            running.remove(one)
    raise AssertionError("the drivers wait for each other")


@pytest.mark.parametrize("inherit", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_two_drivers_give_the_trials_of_one(make, inherit, seed):
    alone = run(make(inherit=inherit), n_workers=1)
    for seen in share(InMemoryStorage(), make, seed=seed, inherit=inherit):
        assert seen == alone


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_the_trials_of_drivers_that_die_are_continued_by_others(make, tmp_path, kind):
    storage = InMemoryStorage() if kind == "memory" else open_storage(sqlite_url(tmp_path / "study.db"))
    alone = run(make(), n_workers=1)
    for seen in share(storage, make, seed=1, deaths=4):
        assert seen == alone
    drivers = {
        trial.user_attrs["driver"]
        for trial in optuna.load_study(study_name="paper", storage=storage).trials
        if "driver" in trial.user_attrs
    }
    assert len(drivers) == 6, "all took part"


def test_the_last_trial_of_the_budget_is_handed_out_once(make):
    storage = InMemoryStorage()
    schedulers = [
        make(storage, LiveDrivers(storage, "paper", token=token, clock=lambda: 0.0), budget={"trials": 1})
        for token in "ab"
    ]
    assert [scheduler.wants_more(running=0) for scheduler in schedulers] == [True, True]
    assert schedulers[0].next().number == 0
    with pytest.raises(OutdatedError, match="written to the study"):
        schedulers[1].next()
    assert not schedulers[1].wants_more(running=0)
    assert schedulers[1].others_run


def test_a_driver_that_was_taken_for_dead_writes_no_result(make):
    storage = InMemoryStorage()
    first = LiveDrivers(storage, "paper", token="a", clock=lambda: 0.0)
    lost = make(storage, first)
    assignment = lost.next()
    first.leave()
    second = make(storage, LiveDrivers(storage, "paper", token="b", clock=lambda: 0.0))
    assert second.next() == assignment
    with pytest.raises(RunFolderError, match="another search has taken study paper over"):
        lost.finish(assignment.number, measure(assignment))
    assert second.trials()[assignment.number].is_running
    second.finish(assignment.number, measure(assignment))
    assert second.trials()[assignment.number].is_complete


def test_more_workers_than_usual_make_the_lag_longer_for_good(make):
    storage = InMemoryStorage()
    scheduler = make(storage)
    scheduler.fix_visibility_lag(workers=6)
    assert scheduler.visibility_lag == 12
    handed_out = [scheduler.next() for _ in range(12)]
    assert None not in handed_out
    assert scheduler.next() is None
    scheduler.finish(handed_out[1].number, measure(handed_out[1]))
    assert scheduler.next() is None, "the first is still running"
    scheduler.finish(handed_out[0].number, measure(handed_out[0]))
    assert scheduler.next() is not None
    again = make(storage)
    again.fix_visibility_lag(workers=9)
    assert again.visibility_lag == 12


def test_few_workers_leave_it_as_it_is(make):
    scheduler = make()
    scheduler.fix_visibility_lag(workers=4)
    assert scheduler.visibility_lag == 8
    assert [scheduler.next() is None for _ in range(9)] == [False] * 8 + [True]


def test_interrupted_trials_are_handed_out_at_once(make):
    storage = InMemoryStorage()
    dead = make(storage)
    lost = [dead.next() for _ in range(8)]
    scheduler = make(storage)
    assert [scheduler.next() for _ in range(8)] == lost
    assert scheduler.next() is None


def test_what_a_stopped_trial_leaves_behind(make):
    scheduler = make()
    Workers(scheduler, n_workers=2, seed=0).run()
    stopped = [trial for trial in scheduler.trials() if "stopped" in trial.frozen.user_attrs]
    assert stopped
    for trial in stopped:
        reached = trial.frozen.user_attrs["stopped"]
        assert reached["epoch"] in (1, 3)
        assert reached["epochs"] == 9
        assert trial.frozen.user_attrs["rungs"][str(reached["epoch"])] == reached["metric"]
        assert 10 ** reached["log_cost"] == pytest.approx(trial.frozen.user_attrs["macs"])
        assert "baseline" not in trial.frozen.user_attrs, "hand-made designs are finished"
        assert "repeat_of" not in trial.frozen.user_attrs, "so are repetitions"
        assert ">" not in trial.params["network.route"], "and networks with a router"
        assert trial.frozen.values is None
    progress = summarise(scheduler.trials(), scheduler.objectives)
    spent = sum(trial.frozen.user_attrs["stopped"]["epoch"] for trial in stopped) + 9 * progress.states["complete"]
    assert progress.states["stopped"] == len(stopped)
    assert progress.epochs_spent == spent
    assert progress.epochs_saved == 9 * len(stopped) - (spent - 9 * progress.states["complete"])
    assert progress.done == 45, "they count as trainings"
    numbers = {trial.number for trial in stopped}
    assert not numbers & {number for member in progress.front for number in member.trainings}


def test_all_trainings_are_finished_without_stopping(make):
    for changes in ({"stopping": "off"}, {"cost": "params"}):
        scheduler = make(**changes)
        Workers(scheduler, n_workers=2, seed=0).run()
        assert not any(
            "stopped" in trial.frozen.user_attrs or "rungs" in trial.frozen.user_attrs for trial in scheduler.trials()
        )


def test_operating_points_do_not_count_as_trainings(make):
    scheduler = make()
    Workers(scheduler, n_workers=2, seed=0).run()
    trials = scheduler.trials()
    points = [trial for trial in trials if "point_of" in trial.frozen.user_attrs]
    assert points
    for point in points:
        training = trials[point.frozen.user_attrs["point_of"]]
        plain = training.frozen.user_attrs["points"][point.frozen.user_attrs["point"]]
        assert point.frozen.values[0] == plain["metric"]
        assert point.params == {**training.params, "network.router.threshold": plain["knobs"]["threshold"]}
        assert training.number < point.number
    progress = summarise(trials, scheduler.objectives)
    assert progress.done == 45
    front = {(member.trial, member.point) for member in progress.front}
    assert not {point.number for point in points} & {number for number, _ in front}
