import numpy as np
import pytest

from benchmarks.search.conditional import N_STREAMS, Conditional
from benchmarks.search.learning_curve import error_of
from nasfuse.pareto import non_dominated
from nasfuse.search.samplers import Domain


@pytest.fixture(scope="module", params=N_STREAMS)
def problem(request: pytest.FixtureRequest) -> Conditional:
    return Conditional(request.param, seed=0)


def draws(problem: Conditional, count: int) -> list[dict[str, object]]:
    domain = Domain(problem.parameters)
    rows = domain.rows(np.random.default_rng(0).random((count, len(problem.parameters))))
    return [domain.parameters(row) for row in rows]


def with_best_training(problem: Conditional, params: dict[str, object]) -> dict[str, object]:
    """Returns the network with the training parameters that are the best for it."""
    streams = str(params["network.route"]).split("+")
    lr = np.mean([problem._best_lr[str(params[f"network.streams.{stream}.encoder"])] for stream in streams])
    dropout = {f"network.streams.{stream}.dropout": problem._best_dropout[stream] for stream in streams}
    return {**params, **dropout, "training.lr": 10**lr, "training.weight_decay": 10**problem._best_decay}


def objectives(problem: Conditional, networks: list[dict[str, object]]) -> np.ndarray:
    return np.array([(problem.counted_error(one, observed=0.0), problem.cost_of(one)) for one in networks])


def test_most_parameters_are_conditional(problem: Conditional) -> None:
    assert len(problem.parameters) >= 20
    assert np.mean([bool(one.when) for one in problem.parameters]) > 0.8
    assert np.mean([len(one) for one in draws(problem, 200)]) < 0.5 * len(problem.parameters)


def test_no_network_is_beyond_the_best_front(problem: Conditional) -> None:
    networks = draws(problem, 1000)
    front = problem.best_front
    for points in (
        objectives(problem, networks),
        objectives(problem, [with_best_training(problem, one) for one in networks]),
    ):
        together = np.concatenate([front, points])
        assert non_dominated(together)[: len(front)].all()
        assert 0.6 < problem.hypervolume(points) / problem.best_hypervolume < 1.0


def test_the_best_front_is_that_of_all_networks() -> None:
    """Without the pruning that makes three streams possible."""
    problem = Conditional("two-streams", seed=0)
    first, second = (np.array(list(problem._encoders(stream))) for stream in "ab")
    both = (first[:, None] + second[None]).reshape(-1, 2)
    sums = [first, second, *(both * [gain, 1] + [0, macs] for gain, macs in problem._fusions(2))]
    quality, macs = np.concatenate(sums).T
    points = np.column_stack([error_of(quality), np.log10(2e3 + macs)])
    np.testing.assert_array_equal(points[non_dominated(points)], problem.best_front)


def test_half_of_the_networks_are_beyond_the_reference(problem: Conditional) -> None:
    points = objectives(problem, draws(problem, 1000))
    assert (points[:, 0] < problem.reference[0]).mean() == pytest.approx(0.5, abs=0.06)
    assert points[:, 1].max() <= problem.reference[1]


def test_fields_that_do_not_exist_have_no_effect(problem: Conditional) -> None:
    for params in draws(problem, 20):
        others = {
            one.name: one.distribution.choices[-1] for one in problem.parameters if hasattr(one.distribution, "choices")
        }
        assert problem.counted_error({**others, **params}, observed=0.0) == problem.counted_error(params, observed=0.0)
        assert problem.cost_of({**others, **params}) == problem.cost_of(params)


def test_trainings_vary_around_the_counted_error(problem: Conditional) -> None:
    (params,) = draws(problem, 1)
    ends = [problem.curve(params, seed=seed)[-1] for seed in range(50)]
    assert np.mean(ends) == pytest.approx(problem.counted_error(params, observed=0.0), rel=0.03)
