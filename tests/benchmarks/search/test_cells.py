from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks.search.cells import _MACS, KINDS, OPERATIONS, Cells
from benchmarks.search.learning_curve import CHANCE


@pytest.fixture(scope="module", params=KINDS)
def problem(request: pytest.FixtureRequest) -> Cells:
    return Cells(request.param, seed=0)


def networks(problem: Cells, count: int) -> Iterator[dict[str, str]]:
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield {one.name: str(rng.choice(OPERATIONS)) for one in problem.parameters}


def living_edges(problem: Cells, params: dict[str, str]) -> set[int]:
    """Returns the edges on a path from input to output, by walking all paths."""
    edges, output = problem.kind.edges, problem.kind.edges[-1][1]
    present = [index for index, one in enumerate(problem.parameters) if params[one.name] != "none"]

    def paths(node: int) -> Iterator[list[int]]:
        if node == output:
            yield []
        for index in present:
            if edges[index][0] == node:
                yield from ([index, *rest] for rest in paths(edges[index][1]))

    return {index for path in paths(0) for index in path}


def test_costs_add_up_over_living_edges_or_all(problem: Cells) -> None:
    for params in networks(problem, 50):
        paid = range(len(problem.parameters)) if problem.kind.pays_for_all else living_edges(problem, params)
        chosen = [params[problem.parameters[index].name] for index in paid]
        macs = 8.0 + sum(_MACS[OPERATIONS.index(one)] for one in chosen)
        assert 10 ** problem.cost_of(params) == pytest.approx(macs)


def test_dead_edges_have_no_effect_and_cut_cells_are_at_chance(problem: Cells) -> None:
    n_dead = 0
    for params in networks(problem, 100):
        living = living_edges(problem, params)
        error = problem.counted_error(params, observed=0.0)
        assert living or error == CHANCE
        for index, parameter in enumerate(problem.parameters):
            if index not in living and params[parameter.name] != "none":
                n_dead += 1
                assert problem.counted_error({**params, parameter.name: "none"}, observed=0.0) == error
    assert n_dead > 5


def test_the_space_is_hard_in_the_way_of_cells(problem: Cells) -> None:
    errors = np.array([problem.counted_error(params, observed=0.0) for params in networks(problem, 1000)])
    assert 0.05 < (errors > 0.8).mean() < 0.25
    assert np.quantile(errors, 0.02) < 0.6 * np.median(errors)


def test_no_network_is_beyond_the_best_front(problem: Cells) -> None:
    points = np.array(
        [(problem.counted_error(one, observed=0.0), problem.cost_of(one)) for one in networks(problem, 300)]
    )
    assert 0.5 < problem.hypervolume(points) / problem.best_hypervolume < 1.0


def test_trainings_vary_around_the_counted_error(problem: Cells) -> None:
    params = next(networks(problem, 1))
    counted = problem.counted_error(params, observed=0.0)
    ends = [problem.curve(params, seed=seed)[-1] for seed in range(50)]
    assert np.mean(ends) == pytest.approx(counted, rel=0.03)
    assert np.std(ends) > 0


def test_the_seed_decides_the_coefficients() -> None:
    params = dict.fromkeys((one.name for one in Cells("paths", seed=0).parameters), "cheap_conv")
    errors = {Cells("paths", seed=seed).counted_error(params, observed=0.0) for seed in (0, 0, 1)}
    assert len(errors) == 2
