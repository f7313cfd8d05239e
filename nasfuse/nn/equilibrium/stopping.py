"""When a fixed-point iteration ends, and how it ended: per sample, by its relative residual."""

from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor


class Status(IntEnum):
    """How the solve of one sample ended; the text says what to do about it."""

    CONVERGED = 0
    STALLED = 1
    DIVERGED = 2
    OUT_OF_STEPS = 3

    @property
    def advice(self) -> str:
        """Returns one sentence for a person."""
        return {
            Status.CONVERGED: "converged",
            Status.STALLED: "stalled above the tolerance; raise tolerance, or the weight of the Jacobian term",
            Status.DIVERGED: "diverged; damp the solver, bound the gate or raise the weight of the Jacobian term",
            Status.OUT_OF_STEPS: "ran out of steps; raise max_steps or tolerance",
        }[self]


@dataclass(frozen=True)
class StoppingRule:
    """Decides sample by sample, so that nobody's result depends on who shares the batch.

    A sample has converged where |f(z) - z| < tolerance |f(z)| and, after the first step, its absolute residual has at
    least halved since then: the relative residual of z + 1, which has no fixed point, also falls, as the iterates
    grow. A fixed point at zero has no relative residual and is not found.

    Attributes:
        tolerance: Relative residual.
        max_steps: Evaluations of f at most.
        patience: Steps without a better residual after which a sample has stalled.
        bound: Norm, over that of the first f(z), beyond which a sample has diverged.
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
    """What a solver found.

    Attributes:
        z: (b, d) the last f(z) of converged samples, the iterate of least residual of all others.
        n_steps: (b,) evaluations of f.
        residual: (b,) relative residual of what is returned.
        status: (b,) `Status` numbers.
        trace: (steps, b) relative residuals, NaN after a sample's end.
    """

    z: Tensor
    n_steps: Tensor
    residual: Tensor
    status: Tensor
    trace: Tensor

    def share(self, status: Status) -> float:
        """Returns the share of samples with `status`."""
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
