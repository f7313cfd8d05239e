"""The Jacobian term and the spectral radius, on maps whose Jacobian is known."""

from types import SimpleNamespace

import pytest
import torch

from nasfuse.nn.equilibrium import Solution, jacobian_penalty, spectral_radius


def solved(matrix, n_samples):
    """A solve of f(z) = M z at zero."""
    cell = SimpleNamespace(step=lambda z, rows, m: z @ m.T)
    z = torch.zeros(n_samples, len(matrix), dtype=matrix.dtype)
    none = torch.zeros(n_samples)
    return SimpleNamespace(cell=cell, inputs=(matrix,), solution=Solution(z, none, none, none, none))


def test_the_penalty_of_a_linear_map_is_its_squared_norm_over_the_width():
    matrix = torch.randn(12, 12, dtype=torch.float64, requires_grad=True)
    estimate = jacobian_penalty(solved(matrix, 20_000))
    expected = matrix.square().sum() / 12
    assert estimate.item() == pytest.approx(expected.item(), rel=0.02)
    (gradient,) = torch.autograd.grad(estimate, matrix)
    assert torch.allclose(gradient, 2 * matrix.detach() / 12, atol=0.05)


@pytest.mark.parametrize("angle", [0.0, 0.7, 3.14159])
def test_the_spectral_radius_of_real_and_complex_pairs(angle):
    rotation = torch.tensor([[1.0, -1.0], [1.0, 1.0]]).double() if angle else torch.eye(2).double()
    if angle:
        c, s = torch.cos(torch.tensor(angle)).double(), torch.sin(torch.tensor(angle)).double()
        rotation = torch.stack([torch.stack([c, -s]), torch.stack([s, c])])
    matrix = torch.block_diag(0.83 * rotation, 0.3 * torch.randn(5, 5).double() / 5**0.5)
    basis = torch.linalg.qr(torch.randn(7, 7).double()).Q
    found = spectral_radius(solved(basis @ matrix @ basis.T, 6), n_rows=4)
    assert found.shape == (4,)
    assert torch.allclose(found, torch.full((4,), 0.83, dtype=torch.float64), rtol=0.02)
