"""Inheritance: for every stream the best training that has the same one and may be known."""

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState

from nasfuse.domain.modality import Modality
from nasfuse.search.inheritance import WeightSources
from nasfuse.search.space import Space
from nasfuse.search.trial import TrialView
from nasfuse.spec.space import SpaceConfig

CHOICES = {
    "network.route": ["left", "right", "left+right", "left > left+right", "left:1 > left+right"],
    "network.fusion.placement": [1, 2],
    "network.streams.left.width": [8, 16],
    "network.streams.right.width": [8, 16],
}
SPACE = Space(
    SpaceConfig.parse(
        {
            "fields": {name: {"choices": choices} for name, choices in CHOICES.items()},
            "fixed": {"network.streams.*.encoder": "mlp", "network.streams.*.depth": 2},
        }
    ),
    (Modality("left", "image", (1, 8, 4)), Modality("right", "image", (1, 8, 4))),
    base={"metric": "accuracy", "data": {"source": "digits"}},
)


def params(route, left, right, placement=2):
    return dict(zip(CHOICES, (route, placement, left, right), strict=True))


def trial(number, metric, route="left+right", left=8, right=8, *, state=TrialState.COMPLETE, placement=2, **attributes):
    made = optuna.create_trial(
        state=state,
        values=[metric, 1.0] if state is TrialState.COMPLETE else None,
        params=params(route, left, right, placement),
        distributions={name: CategoricalDistribution(choices) for name, choices in CHOICES.items()},
        user_attrs=attributes,
    )
    made.number = number
    return TrialView(made)


def weight_sources(visible, route="left+right", left=8, right=8, *, placement=2, metric="accuracy"):
    return WeightSources(SPACE, metric=metric).choose(SPACE.recipe(params(route, left, right, placement)), visible)


def test_each_stream_has_its_own():
    visible = [trial(0, 0.9, right=16), trial(1, 0.8, left=16), trial(2, 0.7)]
    assert weight_sources(visible) == {"left": 0, "right": 1}
    assert weight_sources(visible, "left", 16) == {"left": 1}
    assert weight_sources([trial(0, 0.9, "left")]) == {"left": 0}
    assert weight_sources([trial(0, 0.9, left=16, right=16)]) == {}
    assert weight_sources([]) == {}


def test_the_best_training_is_chosen_and_the_first_of_equal_ones():
    visible = [trial(0, 0.5), trial(1, 0.8), trial(2, 0.8)]
    assert weight_sources(visible, "left") == {"left": 1}
    assert weight_sources(visible[::-1], "left") == {"left": 1}
    assert weight_sources(visible, "left", metric="mae") == {"left": 0}


@pytest.mark.parametrize(
    ("one", "found"),
    [
        ({"state": TrialState.FAIL}, False),
        ({"state": TrialState.RUNNING}, False),
        ({"state": TrialState.PRUNED, "stopped": {"epoch": 1}}, False),
        ({"division": 1, "repeat_of": 0}, False),  # its training data are what the new one is judged by
        ({"division": 0, "repeat_of": 0}, True),
        ({"baseline": "one"}, True),
        ({"inherited": {"left": 0}}, True),
    ],
)
def test_trainings_whose_weights_can_be_inherited(one, found):
    assert weight_sources([trial(1, 0.9, **one)], "left") == ({"left": 1} if found else {})


@pytest.mark.parametrize(
    ("route", "placement", "found"),
    [
        ("left+right", 2, {"left": 0, "right": 0}),
        ("left+right", 1, {}),  # one of two stages is built
        ("left", 1, {"left": 0}),  # alone, a stream has them all
        ("left > left+right", 2, {"left": 0, "right": 0}),
        ("left > left+right", 1, {"left": 0}),  # the shorter route runs both
        ("left:1 > left+right", 1, {}),
    ],
)
def test_as_many_stages_are_built(route, placement, found):
    assert weight_sources([trial(0, 0.9)], route, placement=placement) == found
