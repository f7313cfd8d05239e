"""Rungs of a study: who is looked at, with whom trainings are compared."""

import optuna
import pytest
from optuna.trial import TrialState

from nasfuse.domain.operating_point import OperatingPoint
from nasfuse.search.stopped_training import StoppedTraining
from nasfuse.search.stopping.rungs import Rungs
from nasfuse.search.trial import TrialView
from nasfuse.spec.recipe import Recipe


def recipe(*, router=None, epochs=27, **data):
    streams = {name: {"encoder": "mlp"} for name in ("left", "right")}
    network = {"route": ["left", "right"], "streams": streams, "fusion": {"kind": "concat"}}
    if router is not None:
        network["router"] = {"kind": router, "routes": ["left", "left+right"]}
    return Recipe.parse({"data": {"source": "digits", **data}, "network": network, "training": {"epochs": epochs}})


def trial(number, rungs=None, *, macs=100, epochs=27, **attributes):
    made = optuna.create_trial(
        state=TrialState.RUNNING, user_attrs={"macs": macs, "epochs": epochs, "rungs": rungs or {}, **attributes}
    )
    made.number = number
    return TrialView(made)


@pytest.mark.parametrize(
    ("changes", "one", "rungs"),
    [
        ({}, recipe(), (3, 9)),
        ({}, recipe(epochs=2), (1,)),
        ({}, recipe(router="gate"), ()),
        ({}, recipe(router="sequential"), (3, 9)),
        ({}, recipe(validation={"folds": 3}), (27,)),
        ({}, recipe(validation={"folds": 5}), (27, 54)),
        ({}, recipe(validation={"folds": 5, "repeats": 2}), (27, 81)),
        ({"cost": "latency_s"}, recipe(validation={"folds": 5}), ()),
        ({"stopping": {"eta": 4, "rungs": 1}}, recipe(), (7,)),
        ({"stopping": "off"}, recipe(), ()),
        ({"cost": "latency_s"}, recipe(), ()),
    ],
)
def test_rungs_of_a_training(make_study, changes, one, rungs):
    assert Rungs(make_study(**changes)).epochs_of(one) == rungs


GOOD = [trial(0, {"3": 0.9}), trial(1, {"3": 0.8}), trial(2, {"3": 0.7})]


def test_the_worst_of_four_stops(make_study):
    rungs = Rungs(make_study())
    assert not rungs.passes(trial(9), GOOD, epoch=3, metric=0.6)
    assert rungs.passes(trial(9), GOOD, epoch=3, metric=0.85)
    assert rungs.take(9) == {3: 0.85}
    assert rungs.take(9) == {}


def test_an_error_is_minimised(make_study):
    rungs = Rungs(make_study(metric="mae", data={"source": "x.npz", "task": "regression"}))
    assert rungs.passes(trial(9), GOOD, epoch=3, metric=0.6)
    assert not rungs.passes(trial(9), GOOD, epoch=3, metric=0.95)


def test_a_cheaper_training_continues(make_study):
    assert Rungs(make_study()).passes(trial(9, macs=50), GOOD, epoch=3, metric=0.6)


@pytest.mark.parametrize(
    "others",
    [
        [trial(n, {"9": 0.9}) for n in range(3)],  # another rung
        [trial(n, {"3": 0.9}, epochs=30) for n in range(3)],  # the same epoch of a longer training
        [trial(n) for n in range(3)],
        [trial(n, {"3": 0.9}, inherited={"left": 0}) for n in range(3)],
    ],
)
def test_trainings_that_are_not_compared(make_study, others):
    assert Rungs(make_study()).passes(trial(9), others, epoch=3, metric=0.1)


def test_trainings_from_inherited_weights_are_compared_with_each_other(make_study):
    rungs = Rungs(make_study())
    heirs = [trial(one.number, one.frozen.user_attrs["rungs"], inherited={"left": 0}) for one in GOOD]
    assert not rungs.passes(trial(9, inherited={"left": 1}), heirs, epoch=3, metric=0.6)
    assert rungs.passes(trial(9, inherited={"left": 1}), GOOD, epoch=3, metric=0.6)
    assert rungs.passes(trial(9, inherited={}), heirs, epoch=3, metric=0.6)
    assert not rungs.passes(trial(9, inherited={"left": 1}, from_scratch="lost"), GOOD, epoch=3, metric=0.6)


def test_hand_made_designs_are_finished_and_remembered(make_study):
    rungs = Rungs(make_study())
    assert rungs.passes(trial(9, baseline="both"), GOOD, epoch=3, metric=0.1)
    assert rungs.take(9) == {3: 0.1}


def test_a_network_with_several_routes_is_compared_by_its_costliest_one(make_study):
    """Three networks of 100 MACs are better than it; its cheapest route of 10 MACs must not save it."""
    rungs = Rungs(make_study())
    assert not rungs.passes(trial(9, macs=10, full_macs=100), GOOD, epoch=3, metric=0.6)
    assert rungs.passes(trial(9, macs=10, full_macs=99), GOOD, epoch=3, metric=0.6)
    assert rungs.where_stopped(trial(9, macs=10, full_macs=1000), epoch=3, metric=0.2).log_cost == 3.0


def test_a_finished_network_with_several_routes_counts_with_its_measured_cost(make_study):
    """What it reached at 1000 MACs says nothing against a training of 100, whatever its cheapest route costs."""
    points = [vars(OperatingPoint(metric, macs, 1, 1e-3, 0.0, 1)) for metric, macs in ((0.9, 1000), (0.95, 2000))]
    made = optuna.create_trial(
        values=[0.9, 3.0],
        user_attrs={
            "macs": 10,
            "full_macs": 2000,
            "epochs": 27,
            "rungs": {"3": 0.5},
            "points": points,
            "recipe_hash": "x",
        },
    )
    made.number = 3
    routed = TrialView(made)
    assert routed.full_metric == 0.95
    rungs = Rungs(make_study())
    assert rungs.passes(trial(9), [*GOOD, routed], epoch=3, metric=0.6), "nothing of its cost has ended"


def test_a_metric_that_is_not_finite_is_left_to_the_end(make_study):
    rungs = Rungs(make_study())
    assert rungs.passes(trial(9), GOOD, epoch=3, metric=float("nan"))
    assert rungs.take(9) == {}


def test_recorded_values(make_study):
    kept = Rungs(make_study()).where_stopped(trial(9, macs=1000), epoch=3, metric=0.25)
    assert kept == StoppedTraining(epoch=3, epochs=27, metric=0.25, log_cost=3.0)


def test_a_training_that_is_expected_to_end_on_the_front_continues(make_study):
    """Finished ones have brought errors, as distances of best .1 and scale .1, from 5 to 1 and from 6 to 3.

    So a distance is expected to come down by sqrt(5 * 2): 2.8 ends below 1, which is the best, and 3.5 above.
    """

    def finished(number, *, macs, at_rung, end):
        made = optuna.create_trial(
            values=[end, 2.0], user_attrs={"macs": macs, "epochs": 27, "rungs": {"3": at_rung}, "recipe_hash": "x"}
        )
        made.number = number
        return TrialView(made)

    rungs = Rungs(make_study())
    ended = [finished(3, macs=100, at_rung=0.5, end=0.9), finished(4, macs=90, at_rung=0.4, end=0.7)]
    for metric, passes in ((0.65, False), (0.72, True)):
        assert rungs.passes(trial(9), [*GOOD, *ended], epoch=3, metric=metric) is passes
