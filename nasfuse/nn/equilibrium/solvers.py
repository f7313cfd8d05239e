"""Fixed-point solvers: how the next iterate is made. Stopping and gradients are modules of their own."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from nasfuse.nn.equilibrium.stopping import Solution, Status, StoppingRule, norms

#: f(z, rows): the map on samples `rows` of the batch, on all of them where rows is None.
Map = Callable[[Tensor, Tensor | None], Tensor]

#: Finished samples leave the batch once they are this share of it: moving the rest costs about one step.
_COMPACT_FROM = 0.25


class Memory(ABC):
    """What a solver remembers of one solve."""

    @abstractmethod
    def advance(self, z: Tensor, fz: Tensor) -> Tensor:
        """Returns the next iterates for iterates z (b, d) and f(z)."""

    @abstractmethod
    def keep(self, rows: Tensor) -> None:
        """Forgets all samples but `rows`."""


class Solver(ABC):
    """Makes a `Memory` for each solve; holds options only, so one solver may serve many threads and calls."""

    @abstractmethod
    def start(self, z: Tensor) -> Memory:
        """Returns a fresh memory for iterates like z (b, d)."""

    @abstractmethod
    def macs(self, step: int, width: int) -> int:
        """Returns the multiply-accumulates of the `step`-th `advance` (from 1) for one sample of `width`."""


@dataclass(frozen=True)
class Picard(Solver):
    """z <- z + damping (f(z) - z). Linear rate: that of the contraction."""

    damping: float = 1.0

    def start(self, z: Tensor) -> Memory:
        """Returns a memory of nothing."""
        return _PicardMemory(self.damping)

    def macs(self, step: int, width: int) -> int:
        """Returns 0: a sum of two vectors."""
        return 0


class _PicardMemory(Memory):
    def __init__(self, damping: float) -> None:
        self.damping = damping

    def advance(self, z: Tensor, fz: Tensor) -> Tensor:
        return fz if self.damping == 1 else z + self.damping * (fz - z)

    def keep(self, rows: Tensor) -> None:
        pass


@dataclass(frozen=True)
class Anderson(Solver):
    """Anderson acceleration, type II (Walker & Ni, 2011).

    The combination of the last `memory` iterates whose residual is least, weights adding to one. The Gram matrix is
    divided by the mean of its diagonal before `regularisation` is added: an absolute one, as in the released code
    of DEQ fusion and in torchdeq, turns mixing into plain averaging once residual^2 is below it.

    Attributes:
        memory: Iterates that are combined.
        regularisation: Relative to the squared residuals.
        mixing: Share of f(z) against z in the combination.
    """

    memory: int = 5
    regularisation: float = 1e-8
    mixing: float = 1.0

    def start(self, z: Tensor) -> Memory:
        """Returns an empty history."""
        return _AndersonMemory(self, z)

    def macs(self, step: int, width: int) -> int:
        """Returns the products of n residuals with the newest, the mixing, and an LU solve of n^3 / 3 + n^2."""
        n = min(step, self.memory)
        mixing = n * width * (1 if self.mixing == 1 else 2)
        return n * width + mixing + (lu_macs(n) if n > 1 else 0)


class _AndersonMemory(Memory):
    def __init__(self, options: Anderson, z: Tensor) -> None:
        self.options = options
        size = (len(z), options.memory, z.shape[1])
        self.iterates = z.new_zeros(size) if options.mixing != 1 else None
        self.images = z.new_zeros(size)
        self.residuals = z.new_zeros(size)
        self.gram = z.new_zeros(len(z), options.memory, options.memory)
        self.count = 0

    def advance(self, z: Tensor, fz: Tensor) -> Tensor:
        slot = self.count % self.options.memory
        self.count += 1
        n = min(self.count, self.options.memory)
        if self.iterates is not None:
            self.iterates[:, slot] = z
        self.images[:, slot] = fz
        self.residuals[:, slot] = fz - z
        products = torch.bmm(self.residuals[:, :n], self.residuals[:, slot, :, None])[:, :, 0]
        self.gram[:, :n, slot] = products
        self.gram[:, slot, :n] = products
        if n == 1:
            weights = torch.ones_like(products)
        else:
            weights = self._weights(n, slot)
        mixed = torch.bmm(weights[:, None], self.images[:, :n])[:, 0]
        if self.iterates is None:
            return mixed
        before = torch.bmm(weights[:, None], self.iterates[:, :n])[:, 0]
        return torch.lerp(before, mixed, self.options.mixing)

    def _weights(self, n: int, slot: int) -> Tensor:
        gram = self.gram[:, :n, :n]
        scale = gram.diagonal(dim1=1, dim2=2).mean(dim=1)[:, None, None]
        system = gram / scale.clamp_min(torch.finfo(gram.dtype).tiny)
        system = system + self.options.regularisation * torch.eye(n, dtype=gram.dtype, device=gram.device)
        ones = system.new_ones(len(system), n)
        weights, _ = torch.linalg.solve_ex(system, ones)
        weights = weights / weights.sum(dim=1, keepdim=True)
        plain = torch.zeros_like(weights)
        plain[:, slot] = 1.0  # a Picard step where the system is singular
        good = torch.isfinite(weights).all(dim=1, keepdim=True)
        return torch.where(good, weights, plain)

    def keep(self, rows: Tensor) -> None:
        if self.iterates is not None:
            self.iterates = self.iterates[rows]
        self.images, self.residuals, self.gram = self.images[rows], self.residuals[rows], self.gram[rows]


@dataclass(frozen=True)
class Broyden(Solver):
    """Broyden's good method on f(z) - z = 0, its inverse Jacobian as -I plus `memory` rank-one terms."""

    memory: int = 20

    def start(self, z: Tensor) -> Memory:
        """Returns an inverse Jacobian of -I, whose first step is Picard's."""
        return _BroydenMemory(self.memory, z)

    def macs(self, step: int, width: int) -> int:
        """Returns the products with the rank-one terms: two vectors for the update, one for the step."""
        before, after = min(max(step - 2, 0), self.memory), min(step - 1, self.memory)
        return 2 * width * (2 * before + after)


class _BroydenMemory(Memory):
    def __init__(self, memory: int, z: Tensor) -> None:
        self.left = z.new_zeros(len(z), memory, z.shape[1])
        self.right = z.new_zeros(len(z), memory, z.shape[1])
        self.count = 0
        self.z: Tensor | None = None
        self.residual: Tensor | None = None

    def advance(self, z: Tensor, fz: Tensor) -> Tensor:
        residual = fz - z
        if self.z is not None and self.residual is not None:
            self._update(z - self.z, residual - self.residual)
        self.z, self.residual = z, residual
        return z - self._times(residual)

    def _times(self, values: Tensor) -> Tensor:
        n = min(self.count, self.left.shape[1])
        if n == 0:
            return -values
        inner = torch.bmm(self.right[:, :n], values[:, :, None])
        return torch.bmm(inner.transpose(1, 2), self.left[:, :n])[:, 0] - values

    def _times_from_left(self, values: Tensor) -> Tensor:
        n = min(self.count, self.left.shape[1])
        if n == 0:
            return -values
        inner = torch.bmm(self.left[:, :n], values[:, :, None])
        return torch.bmm(inner.transpose(1, 2), self.right[:, :n])[:, 0] - values

    def _update(self, step: Tensor, change: Tensor) -> None:
        right = self._times_from_left(step)
        scale = (right * change).sum(dim=1, keepdim=True)
        left = (step - self._times(change)) / torch.where(scale.abs() > 0, scale, torch.ones_like(scale))
        good = (torch.isfinite(left).all(dim=1) & (scale[:, 0] != 0))[:, None]
        slot = self.count % self.left.shape[1]
        self.left[:, slot] = torch.where(good, left, torch.zeros_like(left))
        self.right[:, slot] = torch.where(good, right, torch.zeros_like(right))
        self.count += 1

    def keep(self, rows: Tensor) -> None:
        self.left, self.right = self.left[rows], self.right[rows]
        if self.z is not None and self.residual is not None:
            self.z, self.residual = self.z[rows], self.residual[rows]


def lu_macs(n: int) -> int:
    """Returns the multiply-accumulates of solving one system of n equations: n^3 / 3 + n^2."""
    return n**3 // 3 + n**2


def solver_macs(solver: Solver, *, width: int, max_steps: int) -> list[int]:
    """Returns what a solver adds to k evaluations of the map, for k from 0 to `max_steps`, for one sample."""
    total = [0, 0]
    for step in range(1, max_steps):
        total.append(total[-1] + solver.macs(step, width))
    return total


@torch.no_grad()
def solve(function: Map, start: Tensor, *, solver: Solver, rule: StoppingRule) -> Solution:
    """Returns the fixed points of `function`, each sample solved until it is done.

    Args:
        function: The map; must treat every sample by itself.
        start: (b, d) first iterates.
        solver: Makes the steps.
        rule: Ends them.
    """
    n_samples = len(start)
    z, rows = start, None
    memory = solver.start(start)
    result = start.clone()
    residuals = torch.full((n_samples,), float("inf"), dtype=norms(start[:0]).dtype, device=start.device)
    n_steps = torch.zeros(n_samples, dtype=torch.int64, device=start.device)
    status = torch.full((n_samples,), int(Status.OUT_OF_STEPS), device=start.device)
    trace = residuals.new_full((rule.max_steps, n_samples), float("nan"))
    everyone = torch.arange(n_samples, device=start.device)
    numbers, alive = everyone, torch.ones(n_samples, dtype=torch.bool, device=start.device)
    first = first_norm = residuals.clone()
    best, since_best = residuals.clone(), torch.zeros_like(numbers)
    for step in range(rule.max_steps):
        fz = function(z, rows)
        change, size = norms(fz - z), norms(fz)
        relative = change / size.clamp_min(torch.finfo(size.dtype).tiny)
        if step == 0:
            first, first_norm = change, size
        n_steps[numbers] += alive
        trace[step, numbers] = torch.where(alive, relative, torch.nan)
        halved = (change <= 0.5 * first) if step else torch.ones_like(alive)
        diverged = alive & ~(torch.isfinite(size) & (size <= rule.bound * (1 + first_norm)))
        converged = alive & (relative < rule.tolerance) & halved & ~diverged
        better = alive & (relative < best) & ~diverged
        best = torch.where(better, relative, best)
        since_best = torch.where(better, 0, since_best + 1)
        stalled = alive & ~converged & ~diverged & (since_best >= rule.patience)
        kept = better | converged
        result[numbers[kept]] = fz[kept]
        residuals[numbers[kept]] = relative[kept]
        for mask, code in ((converged, Status.CONVERGED), (diverged, Status.DIVERGED), (stalled, Status.STALLED)):
            status[numbers[mask]] = int(code)
        alive = alive & ~(converged | diverged | stalled)
        n_alive = int(alive.sum())
        if n_alive == 0 or step + 1 == rule.max_steps:
            break
        z = memory.advance(z, fz)
        if n_alive <= (1 - _COMPACT_FROM) * len(alive):
            left = alive.nonzero()[:, 0]
            z, numbers, alive = z[left], numbers[left], alive[left]
            first, first_norm, best, since_best = first[left], first_norm[left], best[left], since_best[left]
            memory.keep(left)
            rows = numbers
    return Solution(result, n_steps, residuals, status, trace[: int(n_steps.max())])
