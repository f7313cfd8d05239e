"""Hand-made designs that are made coarser for a short budget."""

import pytest

from nasfuse.data import load_dataset
from nasfuse.experiment.affordable_designs import coarsen_designs
from nasfuse.experiment.run import make_space
from nasfuse.experiment.space_survey import macs_of
from nasfuse.experiment.training_time import TimeLimit
from nasfuse.spec.study import StudyConfig

SPACE = {
    "fields": {
        "network.streams.*.stride": {"choices": [1, 2, 4]},
        "network.streams.*.width": {"choices": [8, 16]},
        "training.epochs": {"choices": [5, 10, 20], "default": 20},
    },
    "fixed": {"network.streams.*.encoder": "conv"},
    "recommended": ["large"],
    "baselines": {"small": {"network.streams.*.stride": 4}, "large": {"network.streams.*.width": 16}},
}


@pytest.fixture
def coarsened():
    """Returns the space after hand-made designs above a share of the time of the large one were made coarser."""

    def make(share):
        study = StudyConfig.parse(
            {"name": "x", "data": {"source": "digits"}, "space": SPACE, "budget": {"minutes": 1e-9}}
        )
        dataset = load_dataset(study.data)
        space = make_space(study, dataset)
        large = space.recipe(space.baselines["large"])
        limit = TimeLimit(study, dataset, [large])
        limit._seconds = share * limit.seconds(large, macs_of(large, dataset))
        designs = {name: space.recipe(parameters) for name, parameters in space.baselines.items()}
        return coarsen_designs(space, limit, designs), space, limit

    return make


@pytest.mark.parametrize(
    ("share", "strides", "epochs"),
    [(0.99, {1, 2}, 20), (0.81, {2}, 20), (0.78, {2, 4}, 20), (0.5, {4}, 10), (0.32, {4}, 5)],
)
def test_strides_are_raised_first_and_epochs_lowered_last(coarsened, share, strides, epochs):
    names, space, limit = coarsened(share)
    assert names["large"] == "large, coarser"
    assert space.recommended == ["large, coarser"]
    recipe = space.recipe(space.baselines["large, coarser"])
    assert {stream.stride for stream in recipe.network.streams.values()} <= strides | {4}
    assert recipe.training.epochs == epochs
    assert limit.above({"it": recipe}) == []


def test_designs_within_the_limit_stay(coarsened):
    names, space, _ = coarsened(1.0)
    assert names == {}
    assert list(space.baselines) == ["small", "large"]


def test_a_design_that_is_never_short_enough_stays_as_it_is(coarsened):
    names, space, _ = coarsened(1e-6)
    assert names == {}
    assert list(space.baselines) == ["small", "large"]


def test_random_convolutions_get_fewer_kernels():
    """Their features are computed once, so fewer epochs alone may save too little."""
    fields = {
        "network.streams.*.n_kernels": {"choices": [12, 84]},
        "network.streams.*.n_dilations": {"choices": [1, 2]},
        "training.epochs": {"choices": [5, 10, 20], "default": 20},
    }
    fixed = {"network.streams.*.encoder": "random_conv", "network.streams.*.stride": 1, "network.streams.*.depth": 0}
    large = {"network.streams.*.n_kernels": 84, "network.streams.*.n_dilations": 2}
    space = {"fields": fields, "fixed": fixed, "baselines": {"large": large}}
    study = StudyConfig.parse({"name": "x", "data": {"source": "digits"}, "space": space, "budget": {"minutes": 1e-9}})
    dataset = load_dataset(study.data)
    made = make_space(study, dataset)
    recipe = made.recipe(made.baselines["large"])
    limit = TimeLimit(study, dataset, [recipe])
    limit._seconds = 0.8 * limit.seconds(recipe, macs_of(recipe, dataset))
    assert coarsen_designs(made, limit, {"large": recipe}) == {"large": "large, coarser"}
    coarser = made.recipe(made.baselines["large, coarser"])
    assert min(stream.n_kernels for stream in coarser.network.streams.values()) == 12
