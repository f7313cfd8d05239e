"""Operating points as trials: which knob is which parameter, and what is no observation of one."""

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from nasfuse.domain.modality import Modality
from nasfuse.domain.operating_point import OperatingPoint
from nasfuse.search.space import Space
from nasfuse.search.swept_points import observations_of
from nasfuse.search.trial import TrialView

MODALITIES = (Modality("a", "sequence", (12, 4)), Modality("b", "sequence", (12, 4)))
FUSION = "network.fusion"
STREAM = "network.streams.a"
DISTRIBUTIONS = {
    "network.route": CategoricalDistribution(["a", "a+b", "a > a+b"]),
    "network.router.threshold": FloatDistribution(0.1, 0.9),
    "network.fusion.max_steps": IntDistribution(2, 16),
    "network.fusion.tolerance": FloatDistribution(1e-3, 1e-1, log=True),
    "network.fusion.inference_tolerance": FloatDistribution(1e-3, 1e-1, log=True),
    "network.streams.a.reducer.keep_ratio": CategoricalDistribution([0.25, 0.5, 1.0]),
    "network.streams.a.reducer.inference_keep_ratio": FloatDistribution(0.1, 1.0),
    "network.fusion.reducer.keep_ratio": CategoricalDistribution([0.25, 0.5, 1.0]),
    "training.lr": FloatDistribution(1e-3, 1e-1, log=True),
}


def entry(distribution):
    if isinstance(distribution, CategoricalDistribution):
        return {"choices": list(distribution.choices)}
    kind = "int" if isinstance(distribution, IntDistribution) else "float"
    return {kind: [distribution.low, distribution.high], "log": distribution.log}


def make_space(names, when=None):
    fields = {name: entry(DISTRIBUTIONS[name]) for name in names}
    for name, condition in (when or {}).items():
        fields[name]["when"] = condition
    fixed = {"network.streams.*.encoder": "transformer"}
    config = {"fields": fields, "fixed": fixed, "baselines": {}}
    from nasfuse.spec.space import SpaceConfig

    base = {"metric": "accuracy", "data": {"source": "x.npz"}}
    return Space(SpaceConfig.parse(config), MODALITIES, base=base)


def observe(params, points, *, when=None, metric="accuracy", max_macs=None):
    """`points`: (metric, knobs), the main one first; returns (point, changed parameters, values) of each."""
    plain = [
        OperatingPoint(one[0], 1000 - 10 * number, 1, 1e-3, 0.0, 1, one[1], *one[2:]).to_plain()
        for number, one in enumerate(points)
    ]
    trial = create_trial(
        state=TrialState.COMPLETE,
        values=[0.5, 3.0],
        params=params,
        distributions={name: DISTRIBUTIONS[name] for name in params},
        user_attrs={"points": plain},
    )
    trial.number = 7
    found = observations_of(TrialView(trial), make_space(params, when), metric=metric, cost="macs", max_macs=max_macs)
    for one in found:
        assert one.state is TrialState.COMPLETE
        assert one.user_attrs["point_of"] == 7
        assert one.distributions == trial.distributions
    return [
        (one.user_attrs["point"], {k: v for k, v in one.params.items() if params[k] != v}, one.values) for one in found
    ]


DYNAMIC = {"network.route": "a > a+b", "network.router.threshold": 0.5}


def test_thresholds():
    points = [
        (0.8, {"threshold": 0.5}),
        (0.6, {"threshold": 1.0, "route": "a"}),
        (0.7, {"threshold": 0.75}),
        (0.9, {"threshold": 0.1, "route": "a+b"}),
        (0.8, {"threshold": 0.5}),
    ]
    found = observe(DYNAMIC, points)
    # 1.0 is outside of the distribution; the last is the training itself
    assert [(number, changed) for number, changed, _ in found] == [
        (2, {"network.router.threshold": 0.75}),
        (3, {"network.router.threshold": 0.1}),
    ]
    assert found[0][2] == [0.7, pytest.approx(2.99122608)]


def test_points_above_max_macs_are_left_out():
    """They cost 1000, 990, 980 and 970; the training itself may be above, as its parameters are known to be."""
    points = [(0.8, {"threshold": 0.5}), *[(0.7, {"threshold": 0.5 + step / 10}) for step in (1, 2, 3)]]
    assert [number for number, *_ in observe(DYNAMIC, points, max_macs=980)] == [2, 3]
    assert observe(DYNAMIC, points, max_macs=969) == []


def test_a_threshold_that_was_set_for_a_cost():
    assert observe(DYNAMIC, [(0.8, {"threshold": 0.31}), (0.7, {"threshold": 0.75})]) == []


def test_a_space_without_such_a_parameter():
    assert observe({"training.lr": 0.01}, [(0.8, {}), (0.7, {"keep_ratio.a": 0.5})]) == []
    assert observe({"network.route": "a > a+b"}, [(0.8, {"threshold": 0.5}), (0.7, {"threshold": 0.75})]) == []


def test_a_setting_that_affects_training_is_included_if_accuracy_holds():
    params = {"network.fusion.max_steps": 16, "network.fusion.tolerance": 1e-3}
    points = [
        (0.80, {}),
        (0.80, {"max_steps": 12}),
        (0.793, {"max_steps": 8}),
        (0.791, {"max_steps": 4}),  # 1.1 % are lost
        (0.81, {"tolerance": 0.01}),
        (0.80, {"tolerance": 0.5}),  # outside of the distribution
        (0.80, {"max_steps": 6}, False),  # does not hold
    ]
    assert [(number, changed) for number, changed, _ in observe(params, points)] == [
        (1, {"network.fusion.max_steps": 12}),
        (2, {"network.fusion.max_steps": 8}),
        (4, {"network.fusion.tolerance": 0.01}),
    ]


def test_a_larger_error_is_a_loss():
    params = {"network.fusion.max_steps": 16}
    points = [(0.5, {}), (0.4, {"max_steps": 8}), (0.504, {"max_steps": 6}), (0.6, {"max_steps": 4})]
    assert [number for number, *_ in observe(params, points, metric="mae")] == [1, 2]


def test_the_parameter_for_inference_is_preferred_and_accepts_all_settings():
    params = {"network.fusion.tolerance": 1e-3, "network.fusion.inference_tolerance": 1e-3}
    (found,) = observe(params, [(0.8, {}), (0.2, {"tolerance": 0.1})])
    assert found[1] == {"network.fusion.inference_tolerance": 0.1}


def test_keep_ratios_of_a_stream_and_of_the_joint_stages():
    params = {f"{STREAM}.reducer.keep_ratio": 0.5, f"{FUSION}.reducer.keep_ratio": 0.5}
    points = [
        (0.8, {}),
        (0.8, {"keep_ratio.a": 0.25, "keep_ratio": 0.25}),
        (0.8, {"keep_ratio.a": 0.25}),
        (0.8, {"keep_ratio.b": 0.25}),  # the space has none for this stream
        (0.8, {"keep_ratio": 0.125}),  # no choice of the space
    ]
    assert [(number, changed) for number, changed, _ in observe(params, points)] == [
        (1, {f"{STREAM}.reducer.keep_ratio": 0.25, f"{FUSION}.reducer.keep_ratio": 0.25}),
        (2, {f"{STREAM}.reducer.keep_ratio": 0.25}),
    ]


def test_a_setting_that_changes_the_set_of_parameters_is_excluded():
    params = {f"{STREAM}.reducer.keep_ratio": 0.5}
    when = {f"{STREAM}.reducer.inference_keep_ratio": {f"{STREAM}.reducer.keep_ratio": 0.25}}
    trial = create_trial(
        state=TrialState.COMPLETE,
        values=[0.8, 3.0],
        params=params,
        distributions={name: DISTRIBUTIONS[name] for name in params},
        user_attrs={
            "points": [OperatingPoint(0.8, 9, 1, 1e-3, 0.0, 1, k).to_plain() for k in ({}, {"keep_ratio.a": 0.25})]
        },
    )
    space = make_space([*params, *when], when)
    assert observations_of(TrialView(trial), space, metric="accuracy", cost="macs") == []


def test_they_are_inherited_where_their_training_is():
    points = [OperatingPoint(0.8, 9, 1, 1e-3, 0.0, 1, knobs).to_plain() for knobs in ({}, {"keep_ratio.a": 0.25})]
    params = {f"{STREAM}.reducer.keep_ratio": 0.5}
    for attributes, marked in (({}, False), ({"inherited": {"a": 3}}, True)):
        training = create_trial(
            state=TrialState.COMPLETE,
            values=[0.8, 3.0],
            params=params,
            distributions={name: DISTRIBUTIONS[name] for name in params},
            user_attrs={"points": points, **attributes},
        )
        (found,) = observations_of(TrialView(training), make_space(params), metric="accuracy", cost="macs")
        assert TrialView(found).is_inherited is marked
