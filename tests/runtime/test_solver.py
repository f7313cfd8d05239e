"""Fixed points by numpy: known solutions, and the steps of the torch solvers."""

import numpy as np
import pytest
import torch

from nasfuse.nn.equilibrium.solvers import Anderson, Broyden, Picard
from nasfuse.nn.equilibrium.solvers import solve as torch_solve
from nasfuse.nn.equilibrium.stopping import StoppingRule
from nasfuse.runtime.solver import solve

RULE = {"tolerance": 1e-10, "max_steps": 80, "patience": 20, "bound": 1e6}
SOLVERS = {
    "picard": ({"kind": "picard", "damping": 0.8}, Picard(0.8)),
    "anderson": (
        {"kind": "anderson", "memory": 3, "regularisation": 1e-8, "mixing": 0.9},
        Anderson(memory=3, mixing=0.9),
    ),
    "broyden": ({"kind": "broyden", "memory": 4}, Broyden(memory=4)),
}
RNG = np.random.default_rng(0)
MATRIX = 0.5 * np.linalg.qr(RNG.normal(size=(6, 6)))[0]
RIGHT = RNG.normal(size=(9, 6))


def linear(z, rows):
    """z -> M z + b, whose fixed point is (I - M)^-1 b."""
    return z @ MATRIX.T + (RIGHT if rows is None else RIGHT[rows])


@pytest.mark.parametrize("name", SOLVERS)
def test_the_fixed_point_of_a_linear_map(name):
    found = solve(linear, np.zeros((9, 6)), n_states=1, solver=SOLVERS[name][0], rule=RULE)
    assert np.allclose(found.z, np.linalg.solve(np.eye(6) - MATRIX, RIGHT.T).T, atol=1e-9)


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("tolerance", [1e-2, 1e-6])
def test_steps_are_those_of_the_training(name, tolerance):
    plain, solver = SOLVERS[name]
    start = RIGHT * np.linspace(0, 3, 9)[:, None]
    found = solve(linear, start, n_states=1, solver=plain, rule={**RULE, "tolerance": tolerance})
    matrix, right = torch.from_numpy(MATRIX), torch.from_numpy(RIGHT)
    expected = torch_solve(
        lambda z, rows: z @ matrix.T + (right if rows is None else right[rows]),
        torch.from_numpy(start),
        solver=solver,
        rule=StoppingRule(tolerance, RULE["max_steps"]),
    )
    assert found.n_steps.tolist() == expected.n_steps.tolist()
    assert len(set(found.n_steps.tolist())) > 1, "samples stop on their own"
    assert np.allclose(found.z, expected.z.numpy(), atol=1e-12)


def test_a_sample_leaves_the_batch_when_all_its_states_have_ended():
    sizes = []

    def half(z, rows):
        sizes.append(len(z))
        return 1 + (z - 1) * (RATES if rows is None else RATES[rows])

    # Two samples with two states each: first states 0 and 1, second states 2 and 3.
    RATES = np.array([0.0, 0.5, 0.0, 0.5])[:, None]
    found = solve(half, np.zeros((4, 1)), n_states=2, solver={"kind": "picard", "damping": 1.0}, rule=RULE)
    assert np.allclose(found.z, 1)
    assert sizes[:2] == [4, 4]
    assert sizes[2:] == [2] * (len(sizes) - 2)
    assert found.n_steps.tolist()[::2] == [2, 2]


def test_a_divergent_sample_keeps_its_best_iterate():
    found = solve(
        lambda z, rows: 3 * z + 1, np.ones((1, 2)), n_states=1, solver={"kind": "picard", "damping": 1.0}, rule=RULE
    )
    assert found.n_steps[0] < RULE["max_steps"]
    assert np.isfinite(found.z).all()


def test_no_sample():
    assert solve(linear, np.zeros((0, 6)), n_states=1, solver=SOLVERS["picard"][0], rule=RULE).z.shape == (0, 6)
