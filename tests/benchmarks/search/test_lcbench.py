import re

import numpy as np
import pytest

from benchmarks.search.lcbench import EPOCHS, TASKS, LcBench, folder, from_unit, mlp_macs, random_rows
from benchmarks.search.problem import Unavailable


@pytest.fixture(scope="module", params=TASKS)
def problem(request: pytest.FixtureRequest) -> LcBench:
    try:
        return LcBench(request.param)
    except Unavailable as reason:
        pytest.skip(str(reason))


def test_macs_of_shaped_mlps() -> None:
    assert mlp_macs(1, 64) == 50 * 64 + 64 * 10
    assert mlp_macs(2, 110) == 50 * 110 + 110 * 60 + 60 * 10


def test_the_unit_cube_is_the_space() -> None:
    corners = from_unit(np.array([[0.0] * 7, [1.0] * 7]))
    np.testing.assert_allclose(corners[0], [16, 1e-4, 0.1, 1e-5, 1, 64, 0.0])
    np.testing.assert_allclose(corners[1], [512, 0.1, 0.99, 0.1, 5, 1024, 1.0])


def test_costs_go_from_the_smallest_network_to_the_largest(problem: LcBench) -> None:
    assert problem.cost_of({"num_layers": 1, "max_units": 64}) == 0.0
    assert problem.cost_of({"num_layers": 5, "max_units": 1024}) == 1.0


def test_errors_are_scaled_by_random_draws(problem: LcBench) -> None:
    errors = problem.errors(random_rows(np.random.default_rng(0), 4000), epochs=[EPOCHS])
    assert errors.min() == 0.0
    assert np.percentile(errors, 90) == pytest.approx(1.0)


def test_a_curve_ends_at_the_error_of_the_full_training(problem: LcBench) -> None:
    row = random_rows(np.random.default_rng(1), 1)
    params = dict(zip((parameter.name for parameter in problem.parameters), row[0], strict=True))
    curve = problem.curve(params, seed=0)
    assert curve.shape == (EPOCHS,)
    assert curve[-1] == pytest.approx(problem.errors(row, epochs=[EPOCHS])[0, 0])


def test_no_random_front_is_better_than_the_best_known(problem: LcBench) -> None:
    rows = random_rows(np.random.default_rng(2), 2000)
    points = np.column_stack([problem.errors(rows, epochs=[EPOCHS])[:, 0], problem.costs(rows)])
    assert 0.8 < problem.hypervolume(points) / problem.best_hypervolume < 1


def test_a_missing_surrogate_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.delenv("LCBENCH", raising=False)
    with pytest.raises(Unavailable, match="LCBENCH is not set; set it to the folder of the LCBench surrogate"):
        folder()
    monkeypatch.setenv("LCBENCH", str(tmp_path))
    for file in ("model.onnx", "encoding.json"):
        with pytest.raises(Unavailable, match=rf"no {re.escape(file)} in .*set LCBENCH to the folder"):
            folder()
        (tmp_path / file).touch()
    assert folder() == tmp_path
