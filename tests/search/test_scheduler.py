"""The scheduler: what is handed out and in which order, what survives the death of a driver, what is recorded."""

import math
from dataclasses import replace
from typing import get_args

import optuna
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from nasfuse.domain.operating_point import Measurements
from nasfuse.errors import InvalidInputError, RunFolderError
from nasfuse.search import scheduler as scheduler_module
from nasfuse.search.deaths import MAX_DRIVER_DEATHS, MAX_WORKER_DEATHS, Deaths
from nasfuse.search.front import Objectives, candidates_of
from nasfuse.search.progress import summarise
from nasfuse.search.scheduler import Exhausted
from nasfuse.search.storage import open_storage, sqlite_url
from nasfuse.spec.study import Sampler

BASELINES = ["one: left", "one: right", "both"]


@pytest.fixture(params=["memory", "sqlite"])
def storage(request, tmp_path):
    return InMemoryStorage() if request.param == "memory" else open_storage(sqlite_url(tmp_path / "study.db"))


def metric_of(assignment):
    """A result that depends on the recipe alone."""
    return sum(stream.width for stream in assignment.recipe.network.streams.values()) / 200


def run(scheduler, measured, *, n_trials):
    """Runs trials one after the other, as one worker would; returns what was handed out."""
    assignments = []
    for _ in range(n_trials):
        assignment = scheduler.next()
        scheduler.finish(assignment.number, measured(metric_of(assignment), 64))
        assignments.append(assignment)
    return assignments


def states(scheduler):
    return [trial.frozen.state for trial in scheduler.trials()]


def test_hand_made_designs_run_first_and_once(open_scheduler, storage, measured):
    assignments = run(open_scheduler(storage), measured, n_trials=8)
    assert [one.baseline for one in assignments] == [*BASELINES, *[None] * 5]
    assert [one.number for one in assignments] == list(range(8))
    assert [one.recipe.network.route for one in assignments[:3]] == [("left",), ("right",), ("left", "right")]


def test_continuing_adds_no_second_set_of_them(open_scheduler, storage, measured):
    run(open_scheduler(storage), measured, n_trials=2)
    rest = run(open_scheduler(storage), measured, n_trials=4)
    assert [one.baseline for one in rest] == ["both", None, None, None]
    assert len(open_scheduler(storage).trials()) == 6


def test_the_same_seed_gives_the_same_trials(open_scheduler, make_study, measured):
    first = run(open_scheduler(InMemoryStorage()), measured, n_trials=14)
    again = run(open_scheduler(InMemoryStorage()), measured, n_trials=14)
    other = run(open_scheduler(InMemoryStorage(), make_study(seed=6)), measured, n_trials=14)
    assert first == again
    assert [one.recipe for one in other] != [one.recipe for one in first]
    assert len({one.seed for one in [*first, *other]}) == 28


def test_an_interrupted_study_gives_the_same_trials(open_scheduler, storage, measured):
    unbroken = run(open_scheduler(InMemoryStorage()), measured, n_trials=14)
    broken = []
    for _ in range(7):
        scheduler = open_scheduler(storage)
        broken += run(scheduler, measured, n_trials=2)
        scheduler.next()  # dies with its driver
    assert broken == unbroken
    assert states(open_scheduler(storage))[:14] == [TrialState.COMPLETE] * 14


def test_where_time_is_the_budget_the_known_cost_sampler_knows_how_long_trainings_take(
    open_scheduler, make_study, measured
):
    """Until it has a model, trainings of more than a 30th of the time are avoided: here those of wide streams."""

    def seconds_of(recipe, macs):
        assert macs > 0
        return max(stream.width for stream in recipe.network.streams.values())

    study = make_study(sampler="known_cost", budget={"minutes": 30 * 17 / 60})
    scheduler = open_scheduler(InMemoryStorage(), study, seconds_of=seconds_of, clock=lambda: 0.0)
    suggested = run(scheduler, measured, n_trials=10)[len(BASELINES) :]
    assert {seconds_of(one.recipe, 1) for one in suggested} == {8, 16}


@pytest.mark.parametrize("sampler", get_args(Sampler))
def test_every_sampler_searches(open_scheduler, make_study, measured, sampler):
    assignments = run(open_scheduler(InMemoryStorage(), make_study(sampler=sampler)), measured, n_trials=16)
    assert len({one.recipe.hash for one in assignments}) > 8


def test_an_orphan_is_handed_out_again_as_it_was(open_scheduler, storage, measured):
    dead = open_scheduler(storage)
    run(dead, measured, n_trials=4)
    lost = [dead.next(), dead.next()]
    scheduler = open_scheduler(storage)
    assert [scheduler.next(), scheduler.next()] == lost
    assert scheduler.next().number == 6
    for one in lost:
        scheduler.finish(one.number, measured())
    assert states(scheduler) == [*[TrialState.COMPLETE] * 6, TrialState.RUNNING]


def test_an_orphan_without_parameters_is_completed(open_scheduler, storage, measured):
    """The driver died between asking and suggesting."""
    dead = open_scheduler(storage)
    run(dead, measured, n_trials=3)
    optuna.load_study(study_name="paper", storage=storage).ask()
    scheduler = open_scheduler(storage)
    assignment = scheduler.next()
    assert assignment.number == 3
    scheduler.finish(3, measured())
    assert scheduler.trials()[3].params


def test_a_trial_that_kills_its_driver_again_and_again_fails(open_scheduler, storage, measured):
    lost = [open_scheduler(storage).next() for _ in range(MAX_DRIVER_DEATHS)]
    assert {one.number for one in lost} == {0}
    scheduler = open_scheduler(storage)
    assert scheduler.next().number == 1
    assert states(scheduler)[0] is TrialState.FAIL
    assert (
        scheduler.trials()[0].reason
        == f"the search died {MAX_DRIVER_DEATHS} times while it was trained, without progress"
    )


def test_a_driver_that_dies_before_a_training_begins_counts_for_no_trial(open_scheduler, storage):
    for _ in range(3 * MAX_DRIVER_DEATHS):
        assert open_scheduler(storage, take_begun=lambda number: False).next().number == 0
    assert open_scheduler(storage).trials()[0].deaths == Deaths()


class TestTimeThatIsSpent:
    """Trials that were interrupted are finished, and no other is begun."""

    @pytest.fixture
    def reopened(self, open_scheduler, make_study, storage, measured):
        """A study of one minute that was interrupted after two, with two trials running, and then continued."""
        study = make_study(budget={"minutes": 1})
        now = [0.0]
        dead = open_scheduler(storage, study, clock=lambda: now[0])
        lost = [dead.next(), dead.next()]
        now[0] = 120.0
        dead.release()
        return open_scheduler(storage, study, clock=lambda: now[0]), lost

    def test_interrupted_trials_are_finished(self, reopened, measured):
        scheduler, lost = reopened
        assert scheduler.seconds == 120.0
        for one in lost:
            assert scheduler.wants_more(running=0)
            again = scheduler.next()
            assert again == replace(one, overdue_s=15.0, ends_s=7.5, killed_s=30.0), (
                "the grace of trainings that run when the time is spent"
            )
            scheduler.finish(one.number, measured())
        assert not scheduler.wants_more(running=0)
        assert states(scheduler) == [TrialState.COMPLETE] * 2

    def test_interrupted_trials_go_on_under_other_limits(self, reopened, open_scheduler, make_study, storage, measured):
        """They began when the study had more time, in which their trainings were short enough."""

        def too_long(recipe, macs):
            raise InvalidInputError("a training would take more than a third of the budget in minutes")

        _, lost = reopened
        study = make_study(budget={"minutes": 0.5})
        scheduler = open_scheduler(storage, study, check_macs=too_long, seconds_of=lambda recipe, macs: 1.0)
        assert [scheduler.next().number for _ in lost] == [one.number for one in lost]

    def test_no_other_is_begun_if_they_cannot_be(self, reopened, open_scheduler, make_study, storage, monkeypatch):
        dead, _ = reopened
        assert [dead.next().number, dead.next().number] == [0, 1]
        monkeypatch.setattr("nasfuse.search.deaths.MAX_DRIVER_DEATHS", 1)
        scheduler = open_scheduler(storage, make_study(budget={"minutes": 1}))
        assert scheduler.wants_more(running=0)
        assert scheduler.next() is None
        assert not scheduler.wants_more(running=0)
        assert states(scheduler) == [TrialState.FAIL] * 2

    def test_not_above_the_number_of_trials(self, reopened, open_scheduler, make_study, storage):
        scheduler = open_scheduler(storage, make_study(budget={"trials": 1, "minutes": 1}))
        assert scheduler.wants_more(running=0)
        scheduler.next()
        assert not scheduler.wants_more(running=1)


def test_deaths_count_in_a_row_without_progress(open_scheduler, storage):
    """However often its machine goes, a training that gets on ends; one that does not has failed."""
    saved = {"epochs": 0}

    def start():
        return open_scheduler(storage, saved_epochs=lambda number: saved["epochs"] if number == 0 else 0)

    for _ in range(3 * MAX_DRIVER_DEATHS):
        assert start().next().number == 0
        saved["epochs"] += 1
    assert [start().next().number for _ in range(MAX_DRIVER_DEATHS + 1)] == [*[0] * MAX_DRIVER_DEATHS, 1]
    assert states(start())[0] is TrialState.FAIL


def test_orderly_ends_do_not_count_as_deaths(open_scheduler, storage):
    for _ in range(3 * MAX_DRIVER_DEATHS):
        scheduler = open_scheduler(storage)
        assert scheduler.next().number == 0
        scheduler.release()
    assert scheduler.trials()[0].deaths == Deaths()
    open_scheduler(storage).next()
    open_scheduler(storage).next()
    assert open_scheduler(storage).trials()[0].deaths == Deaths(of_driver=1), "not the last of the orderly ends"


def test_an_orderly_end_before_a_trial_is_taken_over_changes_nothing_for_it(open_scheduler, storage):
    """Its last death counts, however often a search is interrupted while it starts."""
    open_scheduler(storage).next()
    for _ in range(5):
        open_scheduler(storage).release()
    open_scheduler(storage).next()
    assert open_scheduler(storage).trials()[0].deaths == Deaths(of_driver=1)


def test_deaths_of_workers_and_of_the_driver_have_limits_of_their_own(open_scheduler, storage):
    for _ in range(MAX_WORKER_DEATHS):
        open_scheduler(storage).next()
    scheduler = open_scheduler(storage)
    assert scheduler.next().number == 0
    assert [scheduler.retry(0) for _ in range(MAX_WORKER_DEATHS)] == [*[True] * (MAX_WORKER_DEATHS - 1), False]
    assert scheduler.trials()[0].reason == f"its process died {MAX_WORKER_DEATHS} times without progress"


@pytest.mark.parametrize(
    "changes",
    [
        {"metric": math.nan},
        {"metric": math.inf},
        {"metric": -math.inf},
        {"macs": math.inf},
        {"latency_s": math.nan},
        {"peak_bytes": math.nan},
    ],
)
def test_a_result_that_is_not_finite_is_a_failed_trial(open_scheduler, storage, measured, changes):
    scheduler = open_scheduler(storage)
    scheduler.finish(scheduler.next().number, measured(**changes))
    assert states(scheduler)[0] is TrialState.FAIL
    (name,) = changes
    assert scheduler.trials()[0].frozen.user_attrs["reason"].startswith(f"the measurements are not finite: {name} is ")
    assert run(scheduler, measured, n_trials=3)[0].number == 1, "the search goes on"
    assert summarise(scheduler.trials(), scheduler.objectives).front


def test_a_later_point_that_is_not_finite(open_scheduler, storage, measured):
    scheduler = open_scheduler(storage)
    points = (*measured(0.5).points, *measured(math.nan).points)
    scheduler.finish(scheduler.next().number, Measurements(points, measured().record))
    assert states(scheduler)[0] is TrialState.FAIL
    assert summarise(scheduler.trials(), scheduler.objectives).best is None


def test_no_point_at_all(open_scheduler, storage, measured):
    scheduler = open_scheduler(storage)
    scheduler.finish(scheduler.next().number, Measurements((), measured().record))
    assert scheduler.trials()[0].frozen.user_attrs["reason"] == "it measured no operating point"


def test_reasons_of_failures_are_shortened(open_scheduler, storage, measured):
    scheduler = open_scheduler(storage)
    scheduler.fail(scheduler.next().number, "RuntimeError: [no] " + "word " * 1000)
    reason = scheduler.trials()[0].frozen.user_attrs["reason"]
    assert reason.startswith("RuntimeError: [no] word")
    assert len(reason) <= 1000


def test_what_a_trial_leaves_behind(open_scheduler, storage, measured):
    scheduler = open_scheduler(storage)
    assignment = scheduler.next()
    scheduler.finish(assignment.number, measured(0.75, 1000))
    trial = scheduler.trials()[0]
    assert trial.frozen.values == [0.75, 3.0]
    assert trial.frozen.user_attrs["baseline"] == "one: left"
    assert trial.frozen.user_attrs["recipe_hash"] == assignment.recipe.hash
    assert trial.frozen.user_attrs["summary"] == assignment.recipe.summary
    assert trial.frozen.user_attrs["macs"] == 8
    assert Measurements.from_plain(
        {"points": trial.frozen.user_attrs["points"], "record": trial.frozen.user_attrs["record"]}
    ) == measured(0.75, 1000)
    seconds = scheduler.seconds  # goes on while the study is opened again
    assert seconds > 0
    assert open_scheduler(storage).seconds == pytest.approx(seconds, abs=0.5)


class TestMaxMacs:
    def test_draws_above_the_limit_are_recorded_only(self, open_scheduler, make_study, storage, measured):
        scheduler = open_scheduler(storage, make_study(max_macs=24))
        assignments = run(scheduler, measured, n_trials=12)
        assert all(sum(s.width for s in one.recipe.network.streams.values()) <= 24 for one in assignments)
        pruned = [trial for trial in scheduler.trials() if trial.frozen.state is TrialState.PRUNED]
        assert pruned
        for trial in pruned:
            assert trial.frozen.user_attrs["reason"] == f"{trial.frozen.user_attrs['macs']} MACs are above max_macs 24"
            assert trial.frozen.user_attrs["macs"] > 24
        progress = summarise(scheduler.trials(), scheduler.objectives)
        assert progress.done == 12
        assert progress.states["over_max_macs"] == len(pruned)

    def test_the_known_cost_sampler_respects_the_limit(self, open_scheduler, make_study, storage, measured):
        scheduler = open_scheduler(storage, make_study(max_macs=16, sampler="known_cost"))
        assignments = run(scheduler, measured, n_trials=16)
        assert all(sum(s.width for s in one.recipe.network.streams.values()) <= 16 for one in assignments)
        assert {state.name for state in states(scheduler)} == {"COMPLETE"}

    def test_a_baseline_may_exceed_the_limit(self, open_scheduler, make_study, storage):
        assert open_scheduler(storage, make_study(max_macs=8)).next().baseline == "one: left"
        assert open_scheduler(storage, make_study(max_macs=15)).next().number == 0

    def test_the_limit_may_change(self, open_scheduler, make_study, storage, measured):
        run(open_scheduler(storage, make_study(max_macs=8)), measured, n_trials=4)
        assert len(run(open_scheduler(storage, make_study()), measured, n_trials=6)) == 6

    def test_an_orphan_above_a_new_limit_is_not_trained(self, open_scheduler, make_study, storage, measured):
        dead = open_scheduler(storage)
        run(dead, measured, n_trials=2)
        dead.next()  # both, 16 MACs
        scheduler = open_scheduler(storage, make_study(max_macs=8))
        assert scheduler.next().number > 2
        assert states(scheduler)[2] is TrialState.PRUNED

    @pytest.mark.parametrize(
        ("macs", "kept"),
        [
            ([64, 8, 16, 100], [0, 1, 2, 3]),
            ([64, 8, 101, 500], [0, 1]),
            ([101, 8, 500, 64], [1, 3]),
            ([101, 500], []),
        ],
    )
    def test_operating_points_above_are_recorded_and_are_no_candidates(
        self, open_scheduler, make_study, storage, measured, macs, kept
    ):
        points = tuple(measured(0.5 + number / 100, cost).points[0] for number, cost in enumerate(macs))
        scheduler = open_scheduler(storage, make_study(max_macs=100))
        scheduler.finish(scheduler.next().number, Measurements(points, {"epochs": 4, "epochs_asked": 6}))
        trial, *_ = scheduler.trials()
        assert trial.points == points
        assert trial.frozen.values == [0.5, pytest.approx(math.log10(macs[0]))], "what its parameters describe"
        found = candidates_of(scheduler.trials(), max_macs=scheduler.objectives.max_macs)
        assert [one.point for one in found] == kept
        progress = summarise(scheduler.trials(), scheduler.objectives)
        assert (progress.states["complete"], progress.n_above_limit) == (1, 0 if kept else 1)
        assert {one.point for one in progress.front} <= set(kept)

    def test_points_are_back_when_the_limit_is_raised(self, open_scheduler, make_study, storage, measured):
        for limit, found in ((100, 0), (101, 1), (7, 0), (None, 1)):
            scheduler = open_scheduler(storage, make_study(**({} if limit is None else {"max_macs": limit})))
            if limit == 100:
                scheduler.finish(scheduler.next().number, measured(0.5, 101))
            assert len(summarise(scheduler.trials(), scheduler.objectives).front) == found

    def test_points_above_are_no_observations(self, open_scheduler, make_study, storage, measured):
        """Those below are, beside the training itself, whose values are those of its own setting."""
        space = {
            "fields": {"network.route": {"choices": ["left > all"]}, "network.router.threshold": {"float": [0, 1]}},
            "fixed": {"network.streams.*.encoder": "mlp", "network.streams.*.width": 8},
        }
        scheduler = open_scheduler(storage, make_study(space=space, max_macs=100, sampler="random"))
        assignment = scheduler.next()
        drawn = assignment.recipe.network.router.threshold
        settings = [(drawn, 120), (0.5, 90), (0.75, 110), (0.9, 60)]
        points = tuple(measured(0.5, macs, knobs={"threshold": at}).points[0] for at, macs in settings)
        scheduler.finish(assignment.number, Measurements(points, {"epochs": 4, "epochs_asked": 6}))
        while not any(trial.is_operating_point for trial in scheduler.trials()):
            scheduler.finish(scheduler.next().number, measured(0.4, 50, knobs={"threshold": 2.0}))
        added = [trial for trial in scheduler.trials() if trial.is_operating_point]
        assert [(one.point_index, round(10**one.log_cost)) for one in added] == [(1, 90), (3, 60)]
        assert round(10 ** scheduler.trials()[0].log_cost) == 120

    def test_points_of_repeated_trainings_stay_aligned(self, open_scheduler, make_study, storage, measured):
        def finish(assignment, costs):
            metric = 0.5 + assignment.division / 10
            points = tuple(measured(metric, cost, knobs={"threshold": t}).points[0] for t, cost in costs.items())
            scheduler.finish(assignment.number, Measurements(points, {}))

        scheduler = open_scheduler(storage, make_study(max_macs=100, budget={"trials": 30, "repeats": 2}))
        for _ in range(30):
            assignment = scheduler.next()
            finish(assignment, {0.5: 101 if assignment.division else 90, 1.0: 8, 0.7: 60})
        found = candidates_of(scheduler.trials(), max_macs=100)
        repeated = [one for one in found if len(one.trainings) > 1]
        assert repeated
        for candidate in repeated:
            assert candidate.measured.macs == {1.0: 8, 0.7: 60}[candidate.measured.knobs["threshold"]]
            assert candidate.measured.metric == pytest.approx(0.55)
        once = [one for one in found if one.measured.knobs == {"threshold": 0.5}]
        assert {(one.measured.macs, len(one.trainings)) for one in once} == {(90, 1)}

    def test_without_a_limit_all_points_stay(self, open_scheduler, storage, measured):
        points = tuple(measured(0.5, cost).points[0] for cost in (64, 8, 10**9))
        scheduler = open_scheduler(storage)
        scheduler.finish(scheduler.next().number, Measurements(points, {}))
        assert len(scheduler.trials()[0].frozen.user_attrs["points"]) == 3

    def test_exhausted(self, open_scheduler, make_study, storage, monkeypatch):
        monkeypatch.setattr(scheduler_module, "MAX_REJECTIONS", 20)
        scheduler = open_scheduler(storage, make_study(max_macs=7))
        with pytest.raises(Exhausted, match="20 suggestions in a row were above max_macs 7 or no valid networks"):
            scheduler.next()
        assert set(states(scheduler)) == {TrialState.PRUNED}


class TestInvalidNetworks:
    def test_invalid_draws_are_recorded_and_the_search_continues(self, open_scheduler, make_study, storage, measured):
        space = {
            "fields": {
                "network.streams.*.heads": {"choices": [2, 3]},
                "network.streams.*.width": {"choices": [8, 12]},
            },
            "fixed": {"network.streams.*.encoder": "transformer"},
        }
        scheduler = open_scheduler(storage, make_study(space=space))
        assignments = run(scheduler, measured, n_trials=8)
        for one in assignments:
            assert all(stream.width % stream.heads == 0 for stream in one.recipe.network.streams.values())
        failed = [trial for trial in scheduler.trials() if trial.frozen.state is TrialState.FAIL]
        assert failed
        assert all("no valid network: " in trial.frozen.user_attrs["reason"] for trial in failed)
        assert all("heads must divide width" in trial.frozen.user_attrs["reason"] for trial in failed)
        progress = summarise(scheduler.trials(), scheduler.objectives)
        assert progress.done == 8, "a draw that is no network is no training"
        assert progress.states["failed"] == len(failed)

    def test_networks_that_do_not_fit_the_data(self, open_scheduler, storage, measured):
        def refuse(recipe):
            if len(recipe.network.route) == 1:
                raise InvalidInputError("the stride is longer\nthan the input")
            return 1

        scheduler = open_scheduler(storage, macs_of=refuse)
        first = scheduler.next()
        assert (first.number, first.baseline) == (0, "both"), "other hand-made designs are left out"
        scheduler.finish(first.number, measured(0.5, 64))
        for _ in range(20):
            scheduler.finish(scheduler.next().number, measured(0.5, 64))
        reasons = {trial.reason for trial in scheduler.trials() if trial.is_failed}
        assert reasons == {"no valid network: the stride is longer than the input"}

    def test_exhausted(self, open_scheduler, storage, monkeypatch):
        def refuse(recipe):
            raise InvalidInputError("never")

        monkeypatch.setattr(scheduler_module, "MAX_REJECTIONS", 10)
        with pytest.raises(Exhausted, match="no valid networks"):
            open_scheduler(storage, macs_of=refuse).next()


class TestTheStart:
    def test_the_reference_is_fixed(self, open_scheduler, storage):
        first = open_scheduler(storage, reference=lambda: (0.1, 128.0))
        again = open_scheduler(storage, reference=lambda: pytest.fail("it is asked for once"))
        assert first.objectives == again.objectives
        assert again.objectives.reference == (0.1, 128.0)
        assert (again.objectives.metric, again.objectives.cost) == ("accuracy", "macs")

    def test_an_incomplete_creation_is_repaired(self, open_scheduler, storage, measured):
        def die():
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            open_scheduler(storage, reference=die)
        scheduler = open_scheduler(storage)
        assert [one.baseline for one in run(scheduler, measured, n_trials=4)] == [*BASELINES, None]

    def test_a_study_that_has_not_started(self, open_scheduler, storage):
        study = optuna.create_study(storage=storage, directions=["maximize", "minimize"])
        with pytest.raises(RunFolderError, match="the study has not started yet; run the search first"):
            Objectives.from_study(study)

    def test_an_error_is_minimised(self, open_scheduler, make_study, storage):
        study = make_study(metric="mae", data={"source": "x.npz", "task": "regression"}, cost="params")
        scheduler = open_scheduler(storage, study)
        stored = optuna.load_study(study_name="paper", storage=storage)
        assert [direction.name for direction in stored.directions] == ["MINIMIZE", "MINIMIZE"]
        assert stored.metric_names == ["mae", "log10_params"]
        assert scheduler.objectives.cost == "params"

    def test_another_study_of_the_same_name(self, open_scheduler, make_study, storage):
        open_scheduler(storage)
        with pytest.raises(RunFolderError, match="holds another study of this name; rename one or use another storage"):
            open_scheduler(storage, make_study(seed=9))
        open_scheduler(storage, make_study(budget={"minutes": 3}))

    def test_other_data(self, open_scheduler, storage):
        open_scheduler(storage, fingerprint="abc")
        with pytest.raises(RunFolderError, match="holds trials on other data than these; name the file it began"):
            open_scheduler(storage, fingerprint="abd")


class TestInheritance:
    @pytest.fixture
    def study(self, make_study):
        return make_study(inherit=True, budget={"trials": 40, "repeats": 2})

    def heir(self, scheduler, measured):
        """Returns the first trial that inherits, which is running; all before it have ended."""
        for _ in range(40):
            one = scheduler.next()
            if one.inherited:
                return one
            scheduler.finish(one.number, measured(metric_of(one), 64))
        raise AssertionError("none inherits")

    def test_an_orphan_inherits_the_same_weights(self, open_scheduler, study, storage, measured):
        lost = self.heir(open_scheduler(storage, study), measured)
        scheduler = open_scheduler(storage, study)
        assert scheduler.next() == lost
        assert scheduler.trials()[lost.number].frozen.user_attrs["inherited"] == lost.inherited

    def test_they_are_counted_when_they_end(self, open_scheduler, study, storage, measured):
        scheduler = open_scheduler(storage, study)
        one = self.heir(scheduler, measured)
        assert summarise(scheduler.trials(), scheduler.objectives).inherited == 0
        scheduler.finish(one.number, measured(0.5, 64))
        assert summarise(scheduler.trials(), scheduler.objectives).inherited == 1

    def test_a_trial_without_its_weights_is_from_scratch(self, open_scheduler, study, storage, measured):
        scheduler = open_scheduler(storage, study)
        one = self.heir(scheduler, measured)
        scheduler.start_from_scratch(one.number, "no such checkpoint")
        (again,) = [open_scheduler(storage, study).next()]
        assert again == replace(one, inherited={})
        scheduler.finish(one.number, measured(2.0, 64))
        assert scheduler.trials()[one.number].frozen.user_attrs["from_scratch"] == "no such checkpoint"
        assert one.number in {candidate.trial for candidate in candidates_of(scheduler.trials())}

    def test_only_where_it_is_asked_for(self, open_scheduler, make_study, storage, measured):
        assignments = run(open_scheduler(storage, make_study()), measured, n_trials=20)
        assert not any(one.inherited for one in assignments)
        assert not any("inherited" in trial.frozen.user_attrs for trial in open_scheduler(storage).trials())


class TestRepetitions:
    def noisy(self, scheduler, measured, *, n_trials):
        assignments = []
        for _ in range(n_trials):
            one = scheduler.next()
            macs = sum(stream.width for stream in one.recipe.network.streams.values())
            scheduler.finish(one.number, measured(macs / 200 + one.seed % 100 / 1000, macs))
            assignments.append(one)
        return assignments

    def test_members_of_the_front_are_trained_again_with_other_seeds(
        self, open_scheduler, make_study, storage, measured
    ):
        scheduler = open_scheduler(storage, make_study(budget={"trials": 40, "repeats": 3}))
        assignments = self.noisy(scheduler, measured, n_trials=40)
        assert not scheduler.wants_more(running=0)
        trials = scheduler.trials()
        again = [trial for trial in trials if "repeat_of" in trial.frozen.user_attrs]
        assert again and again[0].number >= 32  # four fifths
        for trial in again:
            first = trials[trial.frozen.user_attrs["repeat_of"]]
            assert trial.params == first.params
            assert trial.frozen.user_attrs["recipe_hash"] == first.frozen.user_attrs["recipe_hash"]
            assert trial.frozen.user_attrs.get("baseline") == first.frozen.user_attrs.get("baseline")
            assert assignments[trial.number].seed != assignments[first.number].seed
        for number in {trial.frozen.user_attrs["repeat_of"] for trial in again}:
            own = [trial.number for trial in again if trial.frozen.user_attrs["repeat_of"] == number]
            assert [assignments[one].division for one in [number, *own]] == list(range(len(own) + 1))
        for member in summarise(trials, scheduler.objectives).front:
            values = [trials[number].metric for number in member.trainings]
            assert member.measured.metric == pytest.approx(sum(values) / len(values))

    def test_an_interrupted_study_makes_the_same_repetitions(self, open_scheduler, make_study, storage, measured):
        study = make_study(budget={"trials": 30, "repeats": 3})
        unbroken = self.noisy(open_scheduler(InMemoryStorage(), study), measured, n_trials=30)
        broken = []
        for _ in range(10):
            scheduler = open_scheduler(storage, study)
            broken += self.noisy(scheduler, measured, n_trials=3)
            scheduler.next()  # dies with its driver
        assert broken == unbroken

    def test_a_repetition_that_fails_is_not_repeated_again(self, open_scheduler, make_study, storage, measured):
        scheduler = open_scheduler(storage, make_study(budget={"trials": 40, "repeats": 3}))
        for _ in range(40):
            one = scheduler.next()
            if one.division:
                scheduler.fail(one.number, "NonFiniteError: the training loss became nan")
            else:
                scheduler.finish(one.number, measured(0.2 + one.seed % 100 / 1000, one.seed % 97))
        repeated = [
            trial.frozen.user_attrs["repeat_of"]
            for trial in scheduler.trials()
            if "repeat_of" in trial.frozen.user_attrs
        ]
        assert repeated
        assert max(repeated.count(number) for number in repeated) <= 2

    @pytest.mark.parametrize(("took_s", "is_repeated"), [(20, True), (100, False)])
    def test_none_of_a_training_that_took_longer_than_is_left(
        self, open_scheduler, make_study, storage, measured, took_s, is_repeated
    ):
        now = [0.0]
        study = make_study(budget={"minutes": 10, "repeats": 3})
        scheduler = open_scheduler(storage, study, clock=lambda: now[0])
        for number in range(14):
            found = measured(0.9 if number == 2 else 0.5, 64)
            found.record["wall_s"] = took_s
            scheduler.finish(scheduler.next().number, found)
        now[0] = 590.0  # 10 s and half of two minutes are left
        assert (scheduler.next().division > 0) is is_repeated

    def test_none_where_one_training_is_enough(self, open_scheduler, make_study, storage, measured):
        scheduler = open_scheduler(storage, make_study(budget={"trials": 20, "repeats": 1}))
        self.noisy(scheduler, measured, n_trials=20)
        assert not any("repeat_of" in trial.frozen.user_attrs for trial in scheduler.trials())
