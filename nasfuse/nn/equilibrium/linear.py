"""Solution of the linear systems of implicit gradients, g = J^T g + v, in batches by a Krylov method."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from nasfuse.nn.equilibrium.stopping import Solution, Status, norms

#: product(g, rows): J^T g for the samples `rows` of the batch (None: all).
Product = Callable[[Tensor, Tensor | None], Tensor]

#: Largest ratio of successive residuals for which the next direction is the residual (Jiranek & Rozloznik, 2010).
_GOOD_PROGRESS = 0.9

#: Share of the tolerance at which the updated residual ends a solve, a margin for its rounding errors.
_MARGIN = 0.9

#: Share of finished samples from which they are removed from the batch; each removal builds the graph of J^T again.
_COMPACT_FROM = 0.5


def solve_linear(product: Product, right: Tensor, *, tolerance: float, max_steps: int) -> Solution:
    """Returns the solutions g of (I - J^T) g = v, one system per sample.

    Simpler GMRES (Walker & Zhou, 1994) with the adaptive choice of directions of Jiranek and Rozloznik (2010): the
    iterate has the least residual in the Krylov space, J need not be a contraction, and after as many steps as the
    state has features the solution is exact up to rounding. A sample has converged if its residual |J^T g + v - g| is
    at most `tolerance` |v|, which implies |g - g*| <= |(I - J^T)^-1| `tolerance` |v|. Differences from the papers: one
    system per sample, and no restarts.

    Args:
        product: Computes J^T g.
        right: Right-hand sides v, (b, d). The solution of v = 0 is 0.
        tolerance: Largest residual relative to |v|.
        max_steps: Largest number of products with J^T; at most d are made.

    Returns:
        The solutions as `z`, and the residuals relative to |v|. A sample stalls if I - J^T is singular, and diverges
        if a product is not finite; its solution is then the last iterate before. If v is not finite, the solution is v.
    """
    with torch.no_grad(), torch.autocast(right.device.type, enabled=False):
        return _solve(product, right, tolerance, max_steps)


def _solve(product: Product, right: Tensor, tolerance: float, max_steps: int) -> Solution:
    solved = _Results.begin(right)
    size = norms(right)
    finite = torch.isfinite(size)
    solved.finish(finite.logical_not(), Status.DIVERGED, z=right)
    krylov = _Krylov.begin(right, size, alive=finite & (size > 0))
    solved.finish(finite & (size == 0), Status.CONVERGED, residual=0.0)
    for step in range(min(max_steps, right.shape[1])):
        n_alive = int(krylov.alive.sum())
        if n_alive == 0:
            break
        if n_alive <= (1 - _COMPACT_FROM) * len(krylov.alive):
            krylov.write(solved)
            krylov = krylov.keep(krylov.alive.nonzero()[:, 0])
        krylov.advance(product, step, tolerance)
        solved.trace.append((krylov.numbers, krylov.residual / krylov.size))
    krylov.write(solved)
    return solved.solution()


@dataclass
class _Results:
    """Solutions of the whole batch."""

    z: Tensor
    n_steps: Tensor
    residual: Tensor
    status: Tensor
    trace: list[tuple[Tensor, Tensor]]

    @classmethod
    def begin(cls, right: Tensor) -> "_Results":
        zero = torch.zeros(len(right), dtype=torch.int64, device=right.device)
        residual = torch.ones(len(right), dtype=norms(right[:0]).dtype, device=right.device)
        return cls(torch.zeros_like(right), zero, residual, torch.full_like(zero, int(Status.OUT_OF_STEPS)), [])

    def finish(self, where: Tensor, status: Status, *, z: Tensor | None = None, residual: float = torch.nan) -> None:
        self.status = torch.where(where, int(status), self.status)
        self.residual = torch.where(where, residual, self.residual)
        if z is not None:
            self.z = torch.where(where[:, None], z, self.z)

    def solution(self) -> Solution:
        trace = self.residual.new_full((len(self.trace), len(self.residual)), torch.nan)
        for step, (numbers, residual) in enumerate(self.trace):
            trace[step, numbers] = residual
        return Solution(self.z, self.n_steps, self.residual, self.status, trace)


@dataclass
class _Krylov:
    """Krylov spaces of the samples that are still in the batch.

    Attributes:
        numbers: Indices in the whole batch, (b,).
        whole: Whether no sample has been removed.
        alive: Whether samples are unfinished, (b,).
        size: Norms |v|, (b,).
        residual: Norms |v - (I - J^T) g|, updated recursively, (b,).
        rest: Residual vectors v - (I - J^T) g, (b, d).
        directions: Vectors of which g is a combination, (b, k, d).
        images: Orthonormal vectors, (b, k, d), with (I - J^T) `directions` = `images` `upper`.
        upper: Upper triangular matrices, (b, k, k).
        shares: Components of v along `images`, (b, k).
        progress: Ratios of the last two residuals, (b,).
        n_steps: Numbers of products, (b,).
        status: Values of `Status`, (b,).
    """

    numbers: Tensor
    whole: bool
    alive: Tensor
    size: Tensor
    residual: Tensor
    rest: Tensor
    directions: Tensor
    images: Tensor
    upper: Tensor
    shares: Tensor
    progress: Tensor
    n_steps: Tensor
    status: Tensor

    @classmethod
    def begin(cls, right: Tensor, size: Tensor, *, alive: Tensor) -> "_Krylov":
        n_samples, width = right.shape
        numbers = torch.arange(n_samples, device=right.device)
        empty = right.new_zeros(n_samples, 0, width)
        krylov = cls(
            numbers=numbers,
            whole=True,
            alive=alive,
            size=size,
            residual=size,
            rest=right,
            directions=empty,
            images=empty,
            upper=right.new_zeros(n_samples, 0, 0),
            shares=right.new_zeros(n_samples, 0),
            progress=torch.zeros_like(size),
            n_steps=torch.zeros_like(numbers),
            status=torch.full_like(numbers, int(Status.OUT_OF_STEPS)),
        )
        return krylov if bool(alive.all()) else krylov.keep(alive.nonzero()[:, 0])

    def keep(self, left: Tensor) -> "_Krylov":
        """Returns the spaces of the samples at the indices `left`."""
        tensors = {name: value[left] for name, value in vars(self).items() if isinstance(value, Tensor)}
        return _Krylov(whole=False, **tensors)

    def advance(self, product: Product, step: int, tolerance: float) -> None:
        """Adds one direction, and updates residuals and statuses."""
        direction = self.rest / self.residual[:, None].clamp_min(torch.finfo(self.rest.dtype).tiny)
        if step:
            good = self.progress <= _GOOD_PROGRESS
            direction = torch.where(good[:, None], direction, self.images[:, -1])
        image = direction - product(direction, None if self.whole else self.numbers)
        before = norms(image)
        image, along = _orthogonal(image, self.images)
        length = norms(image)
        singular = length <= 10 * torch.finfo(image.dtype).eps * before
        sound = torch.isfinite(length) & self.alive & ~singular
        image = torch.where(sound[:, None], image / length[:, None].clamp_min(torch.finfo(image.dtype).tiny), 0.0)
        share = (image * self.rest).sum(dim=1)
        self._append(direction, image, torch.where(sound[:, None], along, 0.0), torch.where(sound, length, 1.0), share)
        self.n_steps = self.n_steps + self.alive
        self._judge(sound, singular, tolerance)

    def _append(self, direction: Tensor, image: Tensor, along: Tensor, length: Tensor, share: Tensor) -> None:
        n, k = along.shape
        upper = self.upper.new_zeros(n, k + 1, k + 1)
        upper[:, :k, :k], upper[:, :k, k], upper[:, k, k] = self.upper, along, length
        self.upper = upper
        self.directions = torch.cat([self.directions, direction[:, None]], dim=1)
        self.images = torch.cat([self.images, image[:, None]], dim=1)
        self.shares = torch.cat([self.shares, share[:, None]], dim=1)
        self.rest = self.rest - share[:, None] * image

    def _judge(self, sound: Tensor, singular: Tensor, tolerance: float) -> None:
        residual = norms(self.rest)
        self.progress, self.residual = residual / self.residual, residual
        converged = sound & (residual <= _MARGIN * tolerance * self.size)
        stalled = self.alive & ~sound
        code = torch.where(singular, int(Status.STALLED), int(Status.DIVERGED))
        self.status = torch.where(converged, int(Status.CONVERGED), torch.where(stalled, code, self.status))
        self.alive = self.alive & ~converged & ~stalled

    def write(self, results: _Results) -> None:
        """Writes the iterate of least residual of each sample into `results`."""
        weights = torch.linalg.solve_triangular(self.upper, self.shares[..., None], upper=True)
        results.z[self.numbers] = (self.directions.transpose(1, 2) @ weights)[..., 0]
        results.n_steps[self.numbers] = self.n_steps
        results.residual[self.numbers] = self.residual / self.size
        results.status[self.numbers] = self.status


def _orthogonal(image: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the part (b, d) of `image` orthogonal to `basis` (b, k, d), and its components (b, k) along the basis.

    Two passes of classical Gram-Schmidt, after which the vectors are orthogonal up to rounding.
    """
    along = image.new_zeros(basis.shape[:2])
    for _ in range(2):
        more = (basis @ image[..., None])[..., 0]
        image = image - (more[:, None] @ basis)[:, 0]
        along = along + more
    return image, along
