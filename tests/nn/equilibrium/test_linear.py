"""Backward systems: the error is within the bound that the tolerance promises, against the dense inverse."""

import pytest
import torch

from nasfuse.nn.equilibrium import (
    Anderson,
    EquilibriumLayer,
    Gradient,
    Status,
    StoppingRule,
    jacobian_penalty,
    listening,
)
from nasfuse.nn.equilibrium.linear import solve_linear

WIDTH, N_SAMPLES = 16, 24


def make_layer(gate, *, coupled, dtype, **backward):
    return EquilibriumLayer(
        2,
        WIDTH,
        coupled=coupled,
        gate=gate,
        start="inputs",
        solver=Anderson(),
        gradient=Gradient(**backward),
        rule=StoppingRule(1e-3, 16),
        spectral_bound=None,
    ).to(dtype)


def train(layer, features):
    optimiser = torch.optim.AdamW(layer.parameters(), 3e-3)
    target = torch.randn(N_SAMPLES, WIDTH, dtype=features[0].dtype)
    for _ in range(20):
        with listening([layer]) as solves:
            loss = (layer(features) - target).square().mean()
        loss = loss + 0.3 * torch.stack([jacobian_penalty(one) for one in solves]).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def dense_systems(solved):
    """Returns I - J^T (k, d, d) of every state in float64."""
    inputs = [one.detach().double() for one in solved.inputs]
    z = solved.solution.z.double().requires_grad_()
    image = solved.cell.step(z, None, *inputs)
    rows = [torch.autograd.grad(column.sum(), z, retain_graph=True)[0] for column in image.unbind(dim=1)]
    return torch.eye(z.shape[1], dtype=torch.float64) - torch.stack(rows, dim=2)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-3)])
@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize(
    ("gate", "coupled"), [("linear", False), ("sigmoid", False), ("tanh", False), ("linear", True)]
)
def test_converged_solutions_are_within_the_error_bound_of_the_dense_inverse(gate, coupled, trained, dtype, tolerance):
    """|g - g*| <= |(I - J^T)^-1| tolerance |v|, however the forward solve ended."""
    layer = make_layer(gate, coupled=coupled, dtype=dtype, tolerance=tolerance, max_steps=64)
    features = [torch.randn(N_SAMPLES, WIDTH, dtype=dtype) for _ in range(2)]
    if trained:
        train(layer, features)
    incoming = torch.randn(N_SAMPLES, WIDTH, dtype=dtype) * torch.logspace(-6, 3, N_SAMPLES, dtype=dtype)[:, None]
    with listening([layer]) as solves:
        out = layer(features)
    out.backward(incoming)
    found = solves[-1].backward[0]
    right = incoming.double()
    if coupled:
        right = torch.cat([torch.zeros(N_SAMPLES, 2 * WIDTH, dtype=torch.float64), right], dim=1)
    system = dense_systems(solves[-1])
    exact = torch.linalg.solve(system, right[..., None])[..., 0]
    error = (found.z.double() - exact).norm(dim=1)
    bound = torch.linalg.matrix_norm(torch.linalg.inv(system), 2) * tolerance * right.norm(dim=1)
    converged = found.status == Status.CONVERGED
    assert converged.double().mean() >= 0.95
    assert (error[converged] <= 1.01 * bound[converged]).all()
    residual = (right - (system @ found.z.double()[..., None])[..., 0]).norm(dim=1) / right.norm(dim=1)
    assert torch.allclose(residual, found.residual.double(), rtol=1e-2, atol=1e-5)


@pytest.mark.parametrize("forward_tolerance", [1e-4, 1e-1])
def test_the_forward_tolerance_does_not_loosen_the_backward_solve(forward_tolerance):
    layer = make_layer("sigmoid", coupled=False, dtype=torch.float64, tolerance=1e-6)
    layer.rule = StoppingRule(forward_tolerance, 16)
    features = [torch.randn(8, WIDTH, dtype=torch.float64) for _ in range(2)]
    with listening([layer]) as solves:
        layer(features).sum().backward()
    for one in solves:
        assert one.backward[0].share(Status.CONVERGED) == 1
        assert one.backward[0].residual.max() <= 1e-6


def rotations(n_samples, width):
    """Returns orthogonal matrices (n_samples, width, width), every second one times 20."""
    matrix = torch.linalg.qr(torch.randn(n_samples, width, width, dtype=torch.float64))[0]
    return matrix * torch.tensor([1.0, 20.0], dtype=torch.float64).repeat(n_samples // 2)[:, None, None]


def product_of(jacobians):
    def product(g, rows):
        own = jacobians if rows is None else jacobians[rows]
        return (own.mT @ g[..., None])[..., 0]

    return product


def solved_exactly(jacobians, right):
    eye = torch.eye(right.shape[1], dtype=right.dtype)
    return torch.linalg.solve(eye - jacobians.mT, right[..., None])[..., 0]


def test_no_contraction_is_needed_and_d_steps_are_enough():
    jacobians, right = 1.5 * rotations(10, 12), torch.randn(10, 12, dtype=torch.float64)
    found = solve_linear(product_of(jacobians), right, tolerance=1e-9, max_steps=100)
    assert found.share(Status.CONVERGED) == 1
    assert found.n_steps.max() <= 12
    assert torch.allclose(found.z, solved_exactly(jacobians, right), atol=1e-7)


def test_each_residual_is_the_least_of_its_krylov_space():
    """As GMRES by a dense least-squares problem over v, A v, A^2 v, ..."""
    jacobians, right = rotations(4, 10) * 0.9, torch.randn(4, 10, dtype=torch.float64)
    system = torch.eye(10, dtype=torch.float64) - jacobians.mT
    for n_steps in (1, 3, 6):
        found = solve_linear(product_of(jacobians), right, tolerance=1e-12, max_steps=n_steps)
        basis = [right]
        for _ in range(n_steps - 1):
            basis.append((system @ basis[-1][..., None])[..., 0])
        images = system @ torch.stack(basis, dim=2)
        weights = torch.linalg.lstsq(images, right[..., None]).solution
        least = (right[..., None] - images @ weights)[..., 0].norm(dim=1) / right.norm(dim=1)
        left = (right - (system @ found.z[..., None])[..., 0]).norm(dim=1) / right.norm(dim=1)
        assert torch.allclose(left, least, rtol=1e-6)
        assert torch.allclose(found.residual, left, rtol=1e-6)
        assert found.share(Status.OUT_OF_STEPS) == 1


def test_a_skew_system_on_which_the_residual_makes_no_progress():
    """J^T = I - S with S skew: (r, S r) = 0, so a step along the residual alone leaves it as it is."""
    skew = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    jacobians = (torch.eye(2, dtype=torch.float64) - skew).mT[None]
    right = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    found = solve_linear(product_of(jacobians), right, tolerance=1e-10, max_steps=10)
    assert found.share(Status.CONVERGED) == 1
    assert torch.allclose(found.z, torch.linalg.solve(skew, right[0])[None])


def test_a_zero_gradient_is_solved_at_once():
    jacobians, right = rotations(6, 5) * 0.1, torch.randn(6, 5, dtype=torch.float64)
    right[::2] = 0
    found = solve_linear(product_of(jacobians), right, tolerance=1e-6, max_steps=50)
    assert found.share(Status.CONVERGED) == 1
    assert (found.z[::2] == 0).all()
    assert (found.n_steps[::2] == 0).all()
    assert torch.allclose(found.z, solved_exactly(jacobians, right), atol=1e-5)


def test_a_singular_system_stalls():
    right = torch.randn(3, 4, dtype=torch.float64)
    found = solve_linear(lambda g, rows: g, right, tolerance=1e-6, max_steps=10)
    assert found.share(Status.STALLED) == 1
    assert torch.isfinite(found.z).all()


def test_values_that_are_not_finite_are_reported_and_affect_no_other_sample():
    jacobians, right = rotations(4, 5) * 0.02, torch.randn(4, 5, dtype=torch.float64)
    jacobians[1], right[2, 0] = torch.inf, torch.nan
    found = solve_linear(product_of(jacobians), right, tolerance=1e-8, max_steps=50)
    assert found.status.tolist() == [Status.CONVERGED, Status.DIVERGED, Status.DIVERGED, Status.CONVERGED]
    assert torch.isnan(found.z[2, 0])
    good = torch.tensor([0, 3])
    assert torch.allclose(found.z[good], solved_exactly(jacobians[good], right[good]), atol=1e-7)


def test_samples_are_independent_of_each_other():
    jacobians, right = rotations(12, 8) * torch.rand(12, 1, 1, dtype=torch.float64), torch.randn(12, 8).double()
    together = solve_linear(product_of(jacobians), right, tolerance=1e-4, max_steps=20)
    assert len(set(together.n_steps.tolist())) > 1
    for row in range(12):
        alone = solve_linear(product_of(jacobians[row : row + 1]), right[row : row + 1], tolerance=1e-4, max_steps=20)
        assert alone.n_steps == together.n_steps[row]
        assert torch.allclose(alone.z[0], together.z[row], atol=1e-9)


def test_an_empty_batch():
    found = solve_linear(lambda g, rows: g, torch.zeros(0, 4), tolerance=1e-3, max_steps=5)
    assert found.z.shape == (0, 4)
