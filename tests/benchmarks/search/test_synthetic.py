import numpy as np
import pytest

pytest.importorskip("pymoo")

from benchmarks.search.synthetic import BEST_HYPERVOLUMES, N_VARIABLES, REFERENCES, Synthetic

#: The value of all variables but the first on the best front.
OPTIMAL = {"zdt1": 0.0, "zdt2": 0.0, "zdt3": 0.0, "dtlz2": 0.5}


@pytest.mark.parametrize("name", BEST_HYPERVOLUMES)
def test_the_best_front_has_the_known_hypervolume(name: str) -> None:
    problem = Synthetic(name)
    points = []
    for first in np.linspace(0, 1, 2001):
        params = {"x0": first, **{f"x{index}": OPTIMAL[name] for index in range(1, N_VARIABLES)}}
        points.append((problem.curve(params, seed=0)[-1], problem.cost_of(params)))
    assert problem.hypervolume(np.array(points)) == pytest.approx(problem.best_hypervolume, rel=2e-3)
    assert problem.hypervolume(np.array(points)) < problem.best_hypervolume


def test_zdt3_is_the_integral_under_its_lowest_errors() -> None:
    cost = (np.arange(1_000_000) + 0.5) / 1_000_000
    lowest = np.minimum.accumulate(1 - np.sqrt(cost) - cost * np.sin(10 * np.pi * cost))
    error, most = REFERENCES["zdt3"]
    area = np.mean(error - lowest) + (most - 1) * (error - lowest[-1])
    assert area == pytest.approx(BEST_HYPERVOLUMES["zdt3"], abs=2e-6)


def test_dtlz2_agrees_with_botorch() -> None:
    problems = pytest.importorskip("botorch.test_functions.multi_objective")
    assert problems.DTLZ2(dim=N_VARIABLES, num_objectives=2)._max_hv == pytest.approx(BEST_HYPERVOLUMES["dtlz2"])
