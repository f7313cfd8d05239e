"""Fronts and hypervolumes, by hand."""

import math
from dataclasses import replace

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasfuse.domain.operating_point import OperatingPoint
from nasfuse.search.front import (
    COLUMNS,
    Candidate,
    Objectives,
    allowed_candidates,
    best,
    candidates_of,
    front_of,
    is_perfect,
    knee_of,
    to_row,
)
from nasfuse.search.trial import TrialView


def candidate(trial, metric, macs, *, point=0, **changes):
    values = {"params": 10 * macs, "latency_s": 1e-3, "latency_iqr_s": 0.0, "peak_bytes": 1, **changes}
    return Candidate(trial, point, OperatingPoint(metric=metric, macs=macs, **values), f"network {trial}")


ACCURACY = Objectives("accuracy", "macs", (0.1, 10_000.0))
MAE = Objectives("mae", "macs", (4.0, 10_000.0))


def test_a_metric_to_be_maximised():
    a, b, c, d = candidate(0, 0.6, 10), candidate(1, 0.8, 100), candidate(2, 0.7, 1000), candidate(3, 0.9, 1000)
    assert front_of([d, c, b, a], ACCURACY) == [a, b, d]
    # in decades of cost above: 3 of a, 2 of b, 1 of d
    expected = 3 * (0.6 - 0.1) + 2 * (0.8 - 0.6) + 1 * (0.9 - 0.8)
    assert ACCURACY.hypervolume([a, b, c, d]) == pytest.approx(expected)
    assert best([a, b, c, d], ACCURACY) == d


def test_a_metric_to_be_minimised():
    a, b, c, d = candidate(0, 3.0, 10), candidate(1, 1.0, 100), candidate(2, 2.0, 1000), candidate(3, 0.5, 1000)
    assert front_of([d, c, b, a], MAE) == [a, b, d]
    expected = 3 * (4 - 3) + 2 * (3 - 1) + 1 * (1 - 0.5)
    assert MAE.hypervolume([a, b, c, d]) == pytest.approx(expected)
    assert best([a, b, c, d], MAE) == d


@given(
    metrics=st.lists(st.floats(0.1, 5), min_size=1, max_size=8),
    unit=st.floats(-30, 30).map(lambda exponent: 2.0 ** round(exponent)),
)
def test_the_unit_of_an_error_changes_no_front(metrics, unit):
    plain = [candidate(number, metric, 10 + number) for number, metric in enumerate(metrics)]
    scaled = [candidate(number, unit * metric, 10 + number) for number, metric in enumerate(metrics)]
    objectives = Objectives("mae", "macs", (unit * 4.0, 10_000.0))
    assert [one.trial for one in front_of(scaled, objectives)] == [one.trial for one in front_of(plain, MAE)]
    assert objectives.hypervolume(scaled) == pytest.approx(unit * MAE.hypervolume(plain))
    if front_of(plain, MAE):
        knees = knee_of(front_of(scaled, objectives), objectives), knee_of(front_of(plain, MAE), MAE)
        assert knees[0].candidate.trial == knees[1].candidate.trial


def test_costs_are_to_be_minimised():
    row = candidate(0, 0.75, 1000)
    assert ACCURACY.costs([row]).tolist() == [[-0.75, 3.0]]
    assert MAE.costs([row]).tolist() == [[0.75, 3.0]]
    assert ACCURACY.costs([]).shape == (0, 2)


def test_another_cost():
    objectives = Objectives("accuracy", "latency_s", (0.0, 1.0))
    fast, slow = candidate(0, 0.5, 1000, latency_s=0.01), candidate(1, 0.4, 10, latency_s=0.1)
    assert front_of([fast, slow], objectives) == [fast]
    assert objectives.hypervolume([fast, slow]) == pytest.approx(0.5 * 2)


def test_no_points_have_no_hypervolume():
    assert ACCURACY.hypervolume([]) == 0.0
    assert front_of([], ACCURACY) == []


@pytest.mark.parametrize(("metric", "macs"), [(0.1, 10), (0.05, 10), (0.9, 10_000), (0.9, 20_000)])
def test_points_outside_the_reference_have_no_hypervolume(metric, macs):
    assert ACCURACY.hypervolume([candidate(0, metric, macs)]) == 0.0


def test_equal_points_appear_once_and_the_cheapest_is_best():
    a, b, c = candidate(0, 0.8, 100), candidate(1, 0.8, 100), candidate(2, 0.8, 10)
    assert front_of([a, b], ACCURACY) == [a]
    assert best([a, b, c], ACCURACY) == c


def test_a_cost_of_zero_has_a_logarithm():
    free = candidate(0, 0.5, 0)
    assert math.isfinite(ACCURACY.hypervolume([free]))
    assert front_of([free], ACCURACY) == [free]


def test_several_points_of_one_trial():
    a, b = candidate(0, 0.6, 10, point=0), candidate(0, 0.8, 100, point=1)
    assert front_of([a, b], ACCURACY) == [a, b]


@pytest.mark.parametrize(("metric", "macs"), [(0.1, 10), (0.05, 10)])
def test_what_a_constant_prediction_beats_is_not_on_the_front(metric, macs):
    good = candidate(1, 0.5, 100)
    assert front_of([candidate(0, metric, macs), good], ACCURACY) == [good]
    assert front_of([candidate(0, metric, macs)], ACCURACY) == []
    assert front_of([candidate(0, 4.0, macs), candidate(1, 3.9, macs)], MAE) == [candidate(1, 3.9, macs)]


class TestKnee:
    def repeated(self, trial, metric, macs, sd, *, n=3):
        one = candidate(trial, metric, macs)
        return replace(one, metric_sd=sd, trainings=tuple(range(n)))

    def test_the_cheapest_within_one_standard_error_of_the_best(self):
        front = [
            self.repeated(0, 0.85, 10, 0.01),
            self.repeated(1, 0.895, 100, 0.01),
            self.repeated(2, 0.90, 1000, 0.01),
        ]
        knee = knee_of(front, ACCURACY)
        assert knee.candidate is front[1]
        assert knee.is_standard_error
        assert knee.loss == pytest.approx(0.01 / math.sqrt(3))
        assert knee.reason == "the cheapest point within one standard error (0.0058) of the best"

    def test_the_deviation_is_pooled_over_the_front(self):
        front = [self.repeated(0, 0.5, 10, 0.03, n=3), self.repeated(1, 0.9, 100, 0.01, n=2), candidate(2, 0.91, 1000)]
        knee = knee_of(front, ACCURACY)
        assert knee.loss == pytest.approx(math.sqrt((2 * 0.03**2 + 0.01**2) / 3)), "of a single training"
        assert knee.candidate is front[1]

    def test_a_stated_loss_where_nothing_was_repeated(self):
        front = [candidate(0, 0.5, 10), candidate(1, 0.893, 100), candidate(2, 0.9, 1000)]
        knee = knee_of(front, ACCURACY)
        assert (knee.candidate, knee.is_standard_error) == (front[1], False)
        assert knee.loss == pytest.approx(0.01 * (0.9 - 0.1))
        assert knee.reason == "the cheapest point within 0.008 of the best (1% of its lead over a constant)"

    def test_a_metric_to_be_minimised(self):
        front = [candidate(0, 1.5, 10), candidate(1, 1.02, 100), candidate(2, 1.0, 1000)]
        assert knee_of(front, MAE).candidate is front[1]

    def test_the_best_where_nothing_is_close(self):
        front = [candidate(0, 0.5, 10), candidate(1, 0.9, 100)]
        assert knee_of(front, ACCURACY).candidate is front[1]


def test_a_row():
    row = to_row(Candidate(3, 1, candidate(3, 0.5, 7).measured, "x", "by hand"))
    assert tuple(row) == COLUMNS
    assert row == {
        "trial": 3,
        "point": 1,
        "members": None,
        "metric": 0.5,
        "metric_sd": None,
        "reported_metric": None,
        "robust_metric": None,
        "trainings": 0,
        "macs": 7,
        "total_macs": 7,
        "params": 70,
        "latency_s": 1e-3,
        "peak_bytes": 1,
        "setting": "",
        "figure": "scratch",
        "baseline": "by hand",
        "summary": "x",
    }


def test_the_spread_in_words():
    measured = candidate(0, 0.5, 7).measured
    assert Candidate(0, 0, measured, "x", trainings=(0,)).spread == "(1)"
    assert Candidate(0, 0, measured, "x", trainings=(0, 4), metric_sd=0.01234).spread == "0.012 (2)"


def test_a_row_has_the_setting():
    point = candidate(0, 0.5, 7, knobs={"threshold": 0.25, "route": "left"}).measured
    assert to_row(Candidate(0, 2, point, "x"))["setting"] == "always left"


def test_a_row_of_a_sub_network():
    knobs = {"network.streams.left.width": 16, "network.fusion.width": 8}
    row = to_row(Candidate(0, 2, candidate(0, 0.5, 7, knobs=knobs).measured, "x"))
    assert row["setting"] == "left width 16, fusion width 8"
    assert row["figure"] == "extracted"


def trial(number, points, **attributes):
    """`points`: of one recipe."""
    plain = [vars(one.measured) for one in points]
    attributes = {"recipe_hash": "a", "summary": "v > v+s", "points": plain, **attributes}
    frozen = optuna.trial.create_trial(values=[0.5, 1.0], user_attrs=attributes)
    frozen.number = number
    return TrialView(frozen)


def test_sub_networks_are_the_same_where_their_settings_are():
    """Each training measures other ones; those that several have measured are averaged, wherever they come."""
    one, two = ({"network.streams.v.width": width} for width in (4, 8))
    first = trial(0, [candidate(0, 0.9, 100), candidate(0, 0.8, 50, knobs=two)])
    second = trial(1, [candidate(0, 0.9, 100), candidate(0, 0.5, 20, knobs=one), candidate(0, 0.6, 50, knobs=two)])
    found = {one.label: one for one in candidates_of([first, second])}
    assert found.keys() == {"0", "0:1", "1:1"}
    assert found["0:1"].measured.metric == pytest.approx(0.7)
    assert found["0:1"].trainings == (0, 1)
    assert found["1:1"].measured.knobs == one


def test_points_of_a_router_are_candidates_with_their_setting():
    """Two trainings of one recipe: point by point, means of metric and MACs, the setting of the first."""
    first = [
        candidate(0, 0.6, 100, knobs={"threshold": 0.5}),
        candidate(0, 0.5, 10, knobs={"threshold": 1.0, "route": "v"}),
    ]
    second = [
        candidate(1, 0.8, 121, knobs={"threshold": 0.5}),
        candidate(1, 0.7, 10, knobs={"threshold": 1.0, "route": "v"}),
    ]
    found = candidates_of([trial(3, first), trial(5, second)])
    assert [one.summary for one in found] == ["v > v+s | threshold 0.5", "v > v+s | always v"]
    assert [(one.trial, one.point, one.trainings) for one in found] == [(3, 0, (3, 5)), (3, 1, (3, 5))]
    assert [one.measured.metric for one in found] == pytest.approx([0.7, 0.6])
    assert [one.measured.macs for one in found] == [110, 10]


def test_a_point_above_the_limit_in_one_training_is_no_candidate_and_shifts_no_other():
    """A mean over the trainings below the limit would cover the cheap ones only, and the rest could not confirm it."""
    trainings = [
        trial(3, [candidate(3, 0.6, 90), candidate(3, 0.5, 10)]),
        trial(5, [candidate(5, 0.9, 101), candidate(5, 0.7, 10)]),
    ]
    (found,) = candidates_of(trainings, max_macs=100)
    assert (found.point, found.trainings, found.measured.macs) == (1, (3, 5), 10)
    assert found.measured.metric == pytest.approx(0.6)
    assert [one.point for one in candidates_of(trainings, max_macs=101)] == [0, 1]
    assert candidates_of(trainings, max_macs=9) == []


def test_a_setting_that_does_not_hold_in_one_training_is_no_candidate():
    def swept(number, holds):
        knobs = {"max_steps": 4}
        return [candidate(number, 0.6, 90), candidate(number, 0.6, 10, knobs=knobs, holds=holds)]

    assert len(candidates_of([trial(3, swept(3, True)), trial(5, swept(5, True))])) == 2
    (found,) = candidates_of([trial(3, swept(3, True)), trial(5, swept(5, False))])
    assert (found.point, found.trainings) == (0, (3, 5))


def test_candidates_of_a_growing_study_are_those_of_all_its_trials_at_once():
    """A recipe loses a point, or measures another sub-network, when it is trained again among others."""

    def points(number, n_points, **first):
        widths = [{"network.streams.v.width": width} for width in range(1, n_points)]
        swept = [candidate(number, number / 10, 9 + place, knobs=knobs) for place, knobs in enumerate(widths)]
        return [candidate(number, number / 10, 90, **first), *swept]

    names, lengths = "abcbacdb", (2, 1, 3, 4, 1, 2, 2, 1)
    trials = [
        trial(number, points(number, n_points, holds=number != 6), recipe_hash=name)
        for number, (name, n_points) in enumerate(zip(names, lengths, strict=True))
    ]

    def anew():
        return [TrialView(one.frozen) for one in trials]  # other objects, which no fold has seen

    for n in range(1, len(trials) + 1):
        assert candidates_of(trials[:n]) == candidates_of(anew()[:n])


def test_trainings_from_inherited_weights_are_excluded():
    heir = trial(3, [candidate(3, 0.9, 10)], inherited={"v": 0})
    scratch = [trial(n, [candidate(n, 0.5 + n / 100, 10)], repeat_of=3) for n in (5, 6)]
    lost = trial(7, [candidate(7, 0.7, 5)], inherited={"v": 0}, from_scratch="no such file", recipe_hash="b")
    assert candidates_of([heir]) == []
    (found,) = candidates_of([heir, *scratch])
    assert (found.trial, found.trainings) == (5, (5, 6))
    assert found.measured.metric == pytest.approx(0.555)
    assert [one.trial for one in candidates_of([heir, lost])] == [7]


def test_it_is_a_candidate_for_being_trained_from_scratch_until_it_was():
    heir = trial(3, [candidate(3, 0.9, 10), candidate(3, 0.8, 5)], inherited={"v": 0})
    scratch = trial(5, [candidate(5, 0.5, 11), candidate(5, 0.5, 5)], repeat_of=3)
    found = candidates_of([heir], with_inherited=True)
    assert [(one.trial, one.trainings, one.measured.metric) for one in found] == [(3, (), 0.9), (3, (), 0.8)]
    own = candidates_of([scratch], max_macs=10)
    assert [one.point for one in own] == [1]
    assert candidates_of([heir, scratch], max_macs=10, with_inherited=True) == own


def test_a_route_is_named_only_where_all_trainings_take_it():
    def static(number, route):
        knobs = {"threshold": 0.5, **({"route": route} if route else {})}
        return trial(number, [candidate(number, 0.5, 10, knobs=knobs)])

    (agreed,) = candidates_of([static(0, "a"), static(1, "a")])
    (mixed,) = candidates_of([static(0, "a"), static(1, None)])
    assert agreed.summary.endswith("| always a")
    assert mixed.summary.endswith("| threshold 0.5")


def test_what_is_robust():
    found = {value: candidate(0, 0.9, 10, robust_metric=value) for value in (None, 0.6, 0.7, 0.8)}
    limited = replace(ACCURACY, robust_metric=0.7)
    assert [limited.is_robust(one) for one in found.values()] == [False, False, True, True]
    assert [replace(MAE, robust_metric=0.7).is_robust(one) for one in found.values()] == [False, True, True, False]
    assert all(ACCURACY.is_robust(one) for one in found.values())
    assert to_row(found[0.7])["robust_metric"] == 0.7


def test_what_is_perfect():
    assert is_perfect(candidate(0, 1.0, 10), ACCURACY)
    assert not is_perfect(candidate(0, 0.99, 10), ACCURACY)
    assert not is_perfect(candidate(0, 1.0, 10), MAE)
    assert not is_perfect(candidate(0, 1.0, 10), replace(MAE, metric="log_loss"))


def test_the_reported_metric_is_the_mean_over_trainings():
    trials = [trial(n, [candidate(n, 0.9, 10, reported_metric=value)]) for n, value in ((1, 0.6), (2, 0.8))]
    (found,) = candidates_of(trials)
    assert to_row(found)["reported_metric"] == pytest.approx(0.7)


def test_a_point_is_robust_by_the_mean_of_its_trainings():
    limited = replace(ACCURACY, robust_metric=0.7)
    trials = [trial(n, [candidate(n, 0.9, 10, robust_metric=value)]) for n, value in ((1, 0.6), (2, 0.85))]
    assert allowed_candidates(trials[:1], limited) == []
    (found,) = allowed_candidates(trials, limited)
    assert found.measured.robust_metric == pytest.approx(0.725)
    (unknown,) = candidates_of([*trials, trial(3, [candidate(3, 0.9, 10)])])
    assert unknown.measured.robust_metric is None
