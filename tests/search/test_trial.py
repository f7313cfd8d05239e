"""The typed view of a trial, and the seam around the keys of its user attributes."""

import ast
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from nasfuse.domain.operating_point import Measurements, OperatingPoint
from nasfuse.search.deaths import Deaths
from nasfuse.search.optuna_internals import storage_of, trial_id_of
from nasfuse.search.stopped_training import StoppedTraining
from nasfuse.search.study_attributes import StudyAttributes
from nasfuse.search.trial import (
    TrialView,
    TrialWriter,
    enqueue_baseline,
    enqueue_repetition,
    operating_point_trial,
    without_outcome,
)
from nasfuse.search.views import trials_of
from nasfuse.spec.recipe import Recipe

PACKAGE = Path(__file__).parents[2] / "nasfuse"

#: The modules that may touch user attributes of Optuna: the two owners of the keys, and the storage layer.
OWNERS = {
    "search/trial.py",
    "search/study_attributes.py",
    "search/write_through.py",
    "search/trial_rows.py",
    "search/optuna_internals.py",
}

RECIPE = Recipe.parse(
    {
        "data": {"source": "digits"},
        "network": {
            "route": ["left", "right"],
            "streams": {name: {"encoder": "mlp"} for name in ("left", "right")},
            "fusion": {"kind": "concat"},
        },
        "training": {"epochs": 9},
    }
)
POINT = OperatingPoint(0.75, 1000, 10, 1e-3, 1e-4, 100, {"threshold": 0.5})


@pytest.fixture
def study():
    return optuna.create_study(directions=["maximize", "minimize"])


def asked(study):
    trial = study.ask({"x": FloatDistribution(0, 1)})
    return trial, TrialWriter(storage_of(study), trial_id_of(trial))


def test_a_complete_training_is_read_as_it_was_written(study):
    """The right side is the form in the storage, which existing runs have."""
    trial, writer = asked(study)
    writer.recipe(RECIPE, macs=7)
    writer.weight_sources({"left": 3})
    writer.suggestion_s(0.1234567)
    writer.deaths(Deaths(of_worker=2, of_driver=1))
    writer.released(True)
    writer.saved_epochs(4)
    writer.rungs({3: 0.5})
    writer.outcome(Measurements((POINT, POINT), {"seed": 1}))
    study.tell(trial, [0.75, 3.0])
    (view,) = trials_of(study)
    assert view.frozen.user_attrs == {
        "summary": RECIPE.summary,
        "recipe_hash": RECIPE.hash,
        "macs": 7,
        "epochs": 9,
        "inherited": {"left": 3},
        "suggestion_s": 0.12346,
        "deaths": {"of_worker": 2, "of_driver": 1},
        "released": True,
        "saved_epochs": 4,
        "rungs": {"3": 0.5},
        "points": [POINT.to_plain(), POINT.to_plain()],
        "record": {"seed": 1},
    }
    assert (view.number, view.metric, view.log_cost, view.params) == (0, 0.75, 3.0, trial.params)
    assert (view.recipe_hash, view.summary, view.macs, view.epochs) == (RECIPE.hash, RECIPE.summary, 7, 9)
    assert (view.weight_sources, view.is_inherited, view.lost_inheritance) == ({"left": 3}, True, False)
    assert (view.suggestion_s, view.deaths, view.is_released) == (0.12346, Deaths(2, 1), True)
    assert view.saved_epochs == 4
    assert (view.rungs, view.points, view.record) == ({3: 0.5}, (POINT, POINT), {"seed": 1})
    assert view.is_complete and view.is_finished and view.was_handed_out and view.was_trained
    assert not (view.is_operating_point or view.is_stopped or view.is_over_max_macs or view.is_void)


def test_a_draw_has_defaults_for_everything_that_was_not_written(study):
    study.ask()
    (view,) = trials_of(study)
    assert (view.baseline, view.repeat_of, view.division, view.point_of, view.point_index) == (
        None,
        None,
        0,
        None,
        None,
    )
    assert (view.deaths, view.is_released, view.saved_epochs) == (Deaths(), False, 0)
    assert (view.reason, view.rungs) == ("", {})
    assert (view.stopped, view.record, view.fallback, view.suggestion_s) == (None, None, None, None)
    assert (view.has_recipe, view.has_weight_sources, view.lost_inheritance) == (False, False, False)
    assert view.is_running and not view.was_handed_out


def test_stopping_tells_a_stopped_training_from_one_that_is_over_max_macs(study):
    for number in range(2):
        trial, writer = asked(study)
        writer.recipe(RECIPE, macs=7)
        if number == 0:
            writer.stopped(StoppedTraining(epoch=3, epochs=9, metric=0.5, log_cost=2.0))
            writer.rungs({1: 0.4, 3: 0.5})
        else:
            writer.reason("7 MACs are above max_macs 5")
        study.tell(trial, state=TrialState.PRUNED)
    stopped, rejected = trials_of(study)
    assert stopped.stopped == StoppedTraining(epoch=3, epochs=9, metric=0.5, log_cost=2.0)
    plain = {"epoch": 3, "epochs": 9, "metric": 0.5, "log_cost": 2.0, "out_of_time": False}
    assert stopped.frozen.user_attrs["stopped"] == plain
    assert (stopped.is_stopped, stopped.is_over_max_macs, stopped.was_trained) == (True, False, True)
    assert (rejected.is_stopped, rejected.is_over_max_macs, rejected.was_trained) == (False, True, False)
    assert rejected.reason == "7 MACs are above max_macs 5"


def test_trainings_that_were_stopped_as_the_time_was_over(study):
    for metric, out_of_time in ((0.5, False), (0.5, True), (None, True)):
        trial, writer = asked(study)
        writer.recipe(RECIPE, macs=7)
        writer.stopped(StoppedTraining(epoch=3, epochs=9, metric=metric, log_cost=2.0, out_of_time=out_of_time))
        study.tell(trial, state=TrialState.PRUNED)
    assert [view.is_stopped for view in trials_of(study)] == [True, True, True]
    assert [view.is_out_of_time for view in trials_of(study)] == [False, True, True]


def test_weights_that_could_not_be_read_are_not_inherited(study):
    _, writer = asked(study)
    writer.weight_sources({"left": 3})
    writer.from_scratch("no such " + "file " * 1000)
    (view,) = trials_of(study)
    assert (view.is_inherited, view.lost_inheritance, view.weight_sources) == (False, True, {"left": 3})
    reason = view.frozen.user_attrs["from_scratch"]
    assert reason.endswith(" ...")
    assert len(reason) <= 1000


def test_a_repetition_has_the_parameters_and_the_name_of_the_first(study):
    enqueue_baseline(study, {"x": 0.25}, name="by hand")
    first, _ = asked(study)
    enqueue_repetition(study, trials_of(study)[first.number], division=2)
    asked(study)
    views = trials_of(study)
    assert [view.params for view in views] == [{"x": 0.25}] * 2
    assert [view.frozen.user_attrs for view in views] == [
        {"baseline": "by hand"},
        {"baseline": "by hand", "repeat_of": 0, "division": 2},
    ]
    assert [(v.baseline, v.is_baseline, v.repeat_of, v.is_repetition, v.division) for v in views] == [
        ("by hand", True, None, False, 0),
        ("by hand", True, 0, True, 2),
    ]


@pytest.mark.parametrize(("inherited", "marks"), [({}, {}), ({"left": 3}, {"inherited": {"left": 3}})])
def test_an_operating_point_names_its_training(study, inherited, marks):
    trial, writer = asked(study)
    writer.weight_sources(inherited)
    study.tell(trial, [0.75, 3.0])
    study.add_trial(operating_point_trial(trials_of(study)[0], 1, parameters={"x": 0.5}, values=[0.7, 2.0]))
    point = trials_of(study)[1]
    assert point.frozen.user_attrs == {"point_of": 0, "point": 1, **marks}
    assert (point.is_operating_point, point.point_of, point.point_index) == (True, 0, 1)
    assert (point.params, point.metric, point.log_cost) == ({"x": 0.5}, 0.7, 2.0)
    assert (point.is_inherited, point.was_handed_out) == (bool(inherited), False)


def test_void_trials_are_those_that_the_study_lists(study):
    for _ in range(3):
        trial, writer = asked(study)
        writer.recipe(RECIPE, macs=7)
        study.tell(trial, state=TrialState.FAIL)
    StudyAttributes(study).void = {2, 0}
    assert study.user_attrs["void"] == [0, 2]
    assert [view.is_void for view in trials_of(study)] == [True, False, True]
    assert [view.was_trained for view in trials_of(study)] == [False, True, False]


def test_only_views_of_finished_trials_are_cached(study):
    ended, _ = asked(study)
    study.tell(ended, [0.75, 3.0])
    running, writer = asked(study)
    before = trials_of(study)
    writer.recipe(RECIPE, macs=7)
    after = trials_of(study)
    assert before[0] is after[0]
    assert (before[1].has_recipe, after[1].has_recipe) == (False, True)
    StudyAttributes(study).void = {0}
    assert trials_of(study)[0].is_void
    study.tell(running, [0.5, 2.0])
    assert trials_of(study)[1].is_complete


def test_without_its_outcome_a_trial_looks_as_it_did_when_it_was_handed_out(study):
    trial, writer = asked(study)
    writer.recipe(RECIPE, macs=7)
    before = trials_of(study)[0].frozen
    writer.rungs({3: 0.5})
    writer.outcome(Measurements((POINT,), {}))
    study.tell(trial, [0.75, 3.0])
    after = trials_of(study)[0].frozen
    assert without_outcome(after) == before
    assert after.values == [0.75, 3.0], "the original is untouched"


def test_a_view_cannot_be_changed(study):
    study.ask()
    (view,) = trials_of(study)
    with pytest.raises(FrozenInstanceError, match="is_void"):
        view.is_void = True
    assert replace(view, is_void=True).is_void
    assert isinstance(view, TrialView)


def test_no_other_module_touches_user_attributes():
    """Reads the sources: what needs a user attribute asks `TrialView`, `TrialWriter` or `StudyAttributes` for it."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        names = {node.attr for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Attribute)}
        keywords = {node.arg for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.keyword)}
        if {one for one in names | keywords if one and "user_attr" in one}:
            found[path.relative_to(PACKAGE).as_posix()] = names
    assert {"search/trial.py", "search/study_attributes.py"} <= set(found), "the owners of the keys were found"
    strangers = sorted(set(found) - OWNERS)
    assert not strangers, f"{', '.join(strangers)} touch user attributes; add a property to nasfuse/search/trial.py"


def test_views_of_ended_trials_are_kept_and_those_shown_without_results_are_not(study):
    for _ in range(3):
        study.tell(study.ask(), [0.5, 1.0])
    running = study.ask()
    first = trials_of(study)
    assert [one.is_complete for one in first] == [True, True, True, False]
    frozen = study.get_trials(deepcopy=False)
    hidden = [*frozen[:2], without_outcome(frozen[2]), frozen[3]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "get_trials", lambda deepcopy: hidden)
        seen = trials_of(study)
    assert [one.is_complete for one in seen] == [True, True, False, False]
    assert all(one is other for one, other in zip(seen[:2], first[:2], strict=True))
    study.tell(running, [0.6, 2.0])
    after = trials_of(study)
    assert [one.is_complete for one in after] == [True] * 4
    assert all(one is other for one, other in zip(after[:3], first[:3], strict=True))
