"""Stopping rule of fixed-point iterations, per sample by its relative residual, and the status of a result."""

from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor


class Status(IntEnum):
    """How the solve of a sample ended, with advice for the user."""

    CONVERGED = 0
    STALLED = 1
    DIVERGED = 2
    OUT_OF_STEPS = 3

    @property
    def advice(self) -> str:
        """Advice for the user in one sentence."""
        return {
            Status.CONVERGED: "converged",
            Status.STALLED: "stalled above the tolerance; raise tolerance, or the weight of the Jacobian term",
            Status.DIVERGED: "diverged; damp the solver, bound the gate or raise the weight of the Jacobian term",
            Status.OUT_OF_STEPS: "ran out of steps; raise max_steps or tolerance",
        }[self]


@dataclass(frozen=True)
class StoppingRule:
    """Stopping rule of a solve. Convergence is per sample, independent of the batch.

    A sample has converged if |f(z) - z| < tolerance |f(z)| and, after the first step, its absolute residual is at most
    half of the first one. The second condition excludes maps without a fixed point such as z + 1, whose relative
    residual falls because the iterates grow. A fixed point at zero has no relative residual and is not found.

    Attributes:
        tolerance: Relative residual below which a sample has converged.
        max_steps: Largest number of evaluations of f.
        patience: Number of steps without a smaller residual after which a sample has stalled.
        bound: Norm of f(z), relative to that of the first one, above which a sample has diverged.
    """

    tolerance: float = 1e-3
    max_steps: int = 20
    patience: int = 20
    bound: float = 1e6

    def __post_init__(self) -> None:
        """Checks the limits."""
        if self.max_steps < 1:
            raise ValueError(f"max_steps must be at least 1, got {self.max_steps}; raise it")
        if not 0 < self.tolerance < 1:
            raise ValueError(f"tolerance must be above 0 and below 1, got {self.tolerance}; change it")
        if self.patience < 1:
            raise ValueError(f"patience must be at least 1, got {self.patience}; raise it")


@dataclass(frozen=True)
class Solution:
    """Result of a solver.

    Attributes:
        z: The last f(z) of converged samples, the iterate of least residual of the others, (b, d).
        n_steps: Numbers of evaluations of f, (b,).
        residual: Relative residuals of `z`, (b,).
        status: Values of `Status`, (b,).
        trace: Relative residuals of all steps, NaN after the end of a sample, (steps, b).
    """

    z: Tensor
    n_steps: Tensor
    residual: Tensor
    status: Tensor
    trace: Tensor

    def share(self, status: Status) -> float:
        """Returns the share of samples that have `status`."""
        return float((self.status == status).double().mean())


def norms(values: Tensor) -> Tensor:
    """Returns the (b,) Euclidean norms of (b, ...), in float32 or better."""
    flat = values.flatten(1)
    dtype = torch.promote_types(flat.dtype, torch.float32)
    result: Tensor = torch.linalg.vector_norm(flat, dim=1, dtype=dtype)
    return result


def relative_residual(z: Tensor, fz: Tensor) -> Tensor:
    """Returns the (b,) |f(z) - z| / |f(z)|, in float32 or better."""
    size = norms(fz)
    return norms(fz - z) / size.clamp_min(torch.finfo(size.dtype).tiny)
