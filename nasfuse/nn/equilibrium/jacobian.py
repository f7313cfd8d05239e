"""Jacobian of a cell at its fixed point: a penalty for training, and the spectral radius for the record."""

import torch
from torch import Tensor

from nasfuse.nn.equilibrium.fixed_point_layer import Solved


def jacobian_penalty(solved: Solved) -> Tensor:
    """Returns Hutchinson's estimate of the mean of ||df/dz||_F^2 / width, with one Gaussian probe per sample.

    Jacobian regularisation (Bai et al., 2021). The division by the width makes weights comparable between widths; for
    f(z) = M z the penalty is ||M||_F^2 / d. The estimate can be
    differentiated by the parameters; the fixed point is treated as a constant.
    """
    z = solved.solution.z.detach().requires_grad_()
    with torch.enable_grad():
        image = solved.cell.step(z, None, *solved.inputs)
        probe = torch.randn_like(image)
        (product,) = torch.autograd.grad(image, z, probe, create_graph=True)
    return product.square().sum(dim=1).mean() / z.shape[1]


def spectral_radius(solved: Solved, *, n_rows: int | None = None, n_iterations: int = 40) -> Tensor:
    """Returns (n_rows,) estimates of the spectral radius of df/dz at as many fixed points, evenly spaced in the batch.

    Power method: the geometric mean of the growth over the second half of the iterations, which converges for complex
    pairs of eigenvalues, too.
    """
    n_states = len(solved.solution.z)
    n_rows = min(n_rows or n_states, n_states)
    rows = torch.linspace(0, n_states - 1, n_rows, device=solved.solution.z.device).round().long()
    z = solved.solution.z.detach()[rows].requires_grad_()
    with torch.enable_grad():
        image = solved.cell.step(z, rows, *[one.detach() for one in solved.inputs])
    generator = torch.Generator().manual_seed(0)
    vector = torch.randn(z.shape, generator=generator, dtype=torch.float64).to(z)
    growth = z.new_zeros(len(z))
    tiny = torch.finfo(z.dtype).tiny
    for iteration in range(n_iterations):
        vector = vector / torch.linalg.vector_norm(vector, dim=1, keepdim=True).clamp_min(tiny)
        (vector,) = torch.autograd.grad(image, z, vector, retain_graph=True)
        if iteration >= n_iterations // 2:
            growth += torch.linalg.vector_norm(vector, dim=1).clamp_min(tiny).log()
    return (growth / (n_iterations - n_iterations // 2)).exp()
