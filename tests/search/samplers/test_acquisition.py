"""What the models see of trainings that inherited weights and of one that diverged; what draws score."""

import math

import numpy as np
import pytest
from optuna.distributions import FloatDistribution

from nasfuse.errors import InvalidInputError
from nasfuse.pareto import hypervolume
from nasfuse.search.samplers import Domain
from nasfuse.search.samplers import acquisition as module
from nasfuse.search.samplers.acquisition import Acquisition
from nasfuse.search.samplers.costs import Costs
from nasfuse.search.samplers.duration_model import DurationModel
from nasfuse.search.samplers.durations import Durations
from nasfuse.search.samplers.encoding import Encoding
from nasfuse.search.samplers.training_data import Observations

DOMAIN = Domain.unconditional({"x": FloatDistribution(0, 1)})
X = np.linspace(0, 1, 16)[:, None]


def error_of(rows):
    return 0.5 + 0.3 * np.square(rows[:, 0] - 0.3)


@pytest.fixture
def make(monkeypatch):
    """Makes judges of `X`, and notes what surrogates are fitted to."""
    fitted = []
    fit = module.fit

    def noted(features, errors, **prior):
        fitted.append(features)
        return fit(features, errors, **prior)

    monkeypatch.setattr(module, "fit", noted)

    def make(inherited, *, errors=None, cost_of=lambda parameters: parameters["x"] + 1):
        inherited = np.asarray(inherited, dtype=bool)
        observations = Observations(
            rows=X,
            errors=error_of(X) - 0.3 * inherited if errors is None else errors,
            doubts=np.zeros(len(X)),
            costs=X[:, 0] + 1,
            inherited=inherited,
            finished=np.ones(len(X), dtype=bool),
            failed=np.array([[0.55]]),
            pending=np.array([[0.45]]),
            n_trainings=len(X),
            n_full=len(X),
        )
        costs = Costs(DOMAIN, cost_of=cost_of, least_cost_of=None, max_cost=None)
        return Acquisition(DOMAIN, costs, observations, reference=np.array([1.0, 3.0])), fitted[-1]

    return make


def test_the_cost_is_a_feature(make):
    """From the lowest to the highest cost of a survey; here the cost is x + 1."""
    _, features = make(np.zeros(16))
    np.testing.assert_array_equal(features[:, 0], X[:, 0])
    np.testing.assert_allclose(features[:, 1], X[:, 0], atol=0.03)


def test_a_cost_that_can_only_be_measured_is_no_feature(make):
    _, features = make(np.zeros(16), cost_of=None)
    assert features.tolist() == X.tolist()


def test_inherited_and_scratch_trainings_are_distinguished(make):
    inherited = np.arange(16) % 2
    _, features = make(inherited, cost_of=None)
    assert features.tolist() == np.column_stack([X, inherited]).tolist()


def test_candidates_and_the_front_are_judged_as_from_scratch(make):
    inherited = np.arange(16) % 2
    improvement, _ = make(inherited)
    mean, _ = improvement._error_model.predict(improvement._features_of(X, X[:, 0] + 1))
    assert improvement._warp.unwarped(mean) == pytest.approx(error_of(X), abs=0.05)
    _, front = improvement._believed_front()
    assert front[:, 0].min() == pytest.approx(0.5, abs=0.05)
    assert improvement.best(np.random.default_rng(0)) is not None


def test_the_score_is_what_draws_of_the_error_add_to_the_front(make):
    """The model is of warped errors, the hypervolume is not."""
    improvement, _ = make(np.zeros(16))
    rows, cost = np.array([[0.21], [0.64]]), (np.array([1.0, 1.2]), np.zeros(2))
    means, sds = improvement._error_model.predict(improvement._features_of(rows, cost[0]))
    _, front = improvement._believed_front()
    before = hypervolume(front, reference=improvement._reference)
    for score, mean, sd, log_cost in zip(improvement._score(rows, cost), means, sds, cost[0], strict=True):
        errors = improvement._warp.unwarped(mean + sd * np.random.default_rng(0).normal(size=4000))
        added = [
            hypervolume(np.vstack([front, [error, log_cost]]), reference=improvement._reference) - before
            for error in errors
        ]
        assert np.exp(score) == pytest.approx(np.mean(added), abs=4 * np.std(added) / np.sqrt(len(added)) + 1e-9)


def test_a_training_that_diverged_does_not_hide_the_others(make):
    errors = error_of(X)
    errors[5] = 1e30
    improvement, _ = make(np.zeros(16), errors=errors)
    mean, _ = improvement._error_model.predict(improvement._features_of(X, X[:, 0] + 1))
    found = improvement._warp.unwarped(mean)[10:]
    assert np.corrcoef(found, error_of(X)[10:])[0, 1] > 0.9


@pytest.mark.parametrize("unit", [2.0**-30, 2.0**60])
def test_the_unit_of_the_error_does_not_change_what_is_suggested(make, unit):
    """Errors, their doubts and the reference in another unit: the improvement is scaled, the order is the same."""
    rows = np.linspace(0, 1, 41)[:, None]
    plain, _ = make(np.zeros(len(X)))
    scaled, _ = make(np.zeros(len(X)), errors=unit * error_of(X))
    scaled._reference = np.array([unit, 3.0])
    cost = rows[:, 0] + 1, np.zeros(len(rows))
    assert scaled._score(rows, cost) - np.log(unit) == pytest.approx(plain._score(rows, cost), abs=1e-6)


def best(seconds_of, *, coverage=None, longest=1.0):
    """The draw chosen where the error falls along x from both sides of the middle."""
    rows = np.concatenate([X[:5], X[11:]])
    observations = Observations(
        rows=rows,
        errors=0.5 - 0.3 * np.abs(rows[:, 0] - 0.5),
        doubts=np.zeros(len(rows)),
        costs=np.full(len(rows), 1.5),
        inherited=np.zeros(len(rows), dtype=bool),
        finished=np.ones(len(rows), dtype=bool),
        failed=np.empty((0, 1)),
        pending=np.empty((0, 1)),
        n_trainings=len(rows),
        n_full=len(rows),
    )
    costs = Costs(DOMAIN, cost_of=lambda _: 1.5, least_cost_of=None, max_cost=None)
    durations = Durations(DOMAIN, seconds_of=seconds_of, longest_to_explore=longest)
    acquisition = Acquisition(
        DOMAIN, costs, observations, reference=np.array([1.0, 3.0]), coverage=coverage, durations=durations
    )
    return acquisition.best(np.random.default_rng(0))[0]


def test_of_equal_improvements_the_shorter_training_counts():
    """Trainings of one half take far longer."""
    assert best(lambda parameters: 1 + 99 * (parameters["x"] > 0.5)) < 0.5
    assert best(lambda parameters: 1 + 99 * (parameters["x"] < 0.5)) > 0.5


@pytest.mark.parametrize(
    ("longest", "seconds", "is_tried"), [(10.0, 4.0, True), (3.0, 4.0, False), (1000.0, 100.0, False)]
)
def test_a_family_is_tried_for_its_own_sake_where_that_does_not_take_long(longest, seconds, is_tried):
    """Three times the coverage is worth four times the seconds, and not a hundred times."""

    class Coverage:
        def gains(self, rows):
            return np.where(rows[:, 0] > 0.7, 1.5, 0.5)

    def seconds_of(parameters):
        return seconds if parameters["x"] > 0.5 else 1.0

    assert (best(seconds_of, coverage=Coverage(), longest=longest) > 0.7) == is_tried


def test_draws_whose_time_is_not_known_are_left_to_the_costs():
    def seconds_of(parameters):
        if parameters["x"] > 0.5:
            raise InvalidInputError("no valid network")
        return math.exp(parameters["x"])

    durations = Durations(DOMAIN, seconds_of=seconds_of, longest_to_explore=math.exp(0.3))
    found = durations.log_seconds(np.array([[0.2], [0.4], [0.6]]))
    np.testing.assert_allclose(found, [0.2, 0.4, np.nan])
    assert durations.can_explore(found).tolist() == [True, False, False]
    model = DurationModel(durations, X, encoding=Encoding(DOMAIN))
    np.testing.assert_allclose(
        model.log_seconds(Encoding(DOMAIN).features(np.array([[0.25], [0.45]]))), [0.25, 0.45], atol=0.01
    )
