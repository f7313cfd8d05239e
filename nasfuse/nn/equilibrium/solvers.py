"""Fixed-point solvers, which compute the next iterate; stopping rules and gradients are in other modules."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nasfuse.nn.equilibrium.stopping import Solution, Status, StoppingRule, norms

#: f(z, rows): the map on the samples `rows` of the batch (None: all).
Map = Callable[[Tensor, Tensor | None], Tensor]


class Memory(ABC):
    """State of a solver during one solve."""

    @abstractmethod
    def advance(self, fz: Tensor, change: Tensor) -> Tensor:
        """Returns the next iterates from f(z) and f(z) - z, both (b, d); `change` may be stored or overwritten."""

    @abstractmethod
    def keep(self, rows: Tensor) -> None:
        """Removes all samples except `rows`."""


class Solver(ABC):
    """Options of a method; the state of a solve is in a `Memory`, so a solver can be shared by calls and threads."""

    @abstractmethod
    def start(self, z: Tensor) -> Memory:
        """Returns the memory of a new solve with iterates like z (b, d)."""

    @abstractmethod
    def macs(self, step: int, width: int) -> int:
        """Returns the multiply-accumulates of call number `step` (from 1) of `advance` per sample of `width`."""


@dataclass(frozen=True)
class Picard(Solver):
    """Damped Picard iteration, z <- z + damping (f(z) - z); it converges linearly at the rate of the contraction."""

    damping: float = 1.0

    def __post_init__(self) -> None:
        """Checks the damping."""
        if not 0 < self.damping <= 1:
            raise ValueError(f"damping must be above 0 and at most 1, got {self.damping}; change it")

    def start(self, z: Tensor) -> Memory:
        """Returns a memory without state."""
        return _PicardMemory(self.damping)

    def macs(self, step: int, width: int) -> int:
        """Returns 0, because a step only adds two vectors."""
        return 0


class _PicardMemory(Memory):
    def __init__(self, damping: float) -> None:
        self.damping = damping

    def advance(self, fz: Tensor, change: Tensor) -> Tensor:
        return change.copy_(fz) if self.damping == 1 else torch.sub(fz, change, alpha=1 - self.damping, out=change)

    def keep(self, rows: Tensor) -> None:
        pass


@dataclass(frozen=True)
class Anderson(Solver):
    """Anderson acceleration, type II (Walker & Ni, 2011).

    The next iterate is the combination of the last `memory` iterates with the least residual; the weights add to one.
    The Gram matrix is divided by the mean of its diagonal before `regularisation` is added. An absolute regularisation,
    as in the code of DEQ fusion and in torchdeq, makes all weights equal once the squared residual is below it.

    Attributes:
        memory: Number of iterates that are combined.
        regularisation: Regularisation relative to the squared residuals; at least ten times the machine epsilon.
        mixing: Weight of f(z) in the combination; that of z is one minus it.
    """

    memory: int = 5
    regularisation: float = 1e-8
    mixing: float = 1.0

    def __post_init__(self) -> None:
        """Checks the memory and the mixing."""
        if self.memory < 1 or not 0 < self.mixing <= 1:
            raise ValueError(
                f"memory must be at least 1 and mixing above 0 and at most 1, got {self.memory} and {self.mixing}"
            )

    def start(self, z: Tensor) -> Memory:
        """Returns a memory without iterates."""
        return _AndersonMemory(self, z)

    def macs(self, step: int, width: int) -> int:
        """Returns the cost of n inner products with the newest residual, of the combination and of an LU solve."""
        n = min(step, self.memory)
        mixing = n * width * (1 if self.mixing == 1 else 2)
        return n * width + mixing + (lu_macs(n) if n > 1 else 0)


class _AndersonMemory(Memory):
    """Ring buffers of iterates. Tensors are reused, because on a CPU allocation costs more than the arithmetic."""

    def __init__(self, options: Anderson, z: Tensor) -> None:
        self.options = options
        self.images: list[Tensor] = []
        self.changes: list[Tensor] = []
        self.gram = z.new_zeros(len(z), options.memory, options.memory)
        self.identity = torch.eye(options.memory, dtype=z.dtype, device=z.device)
        self.scratch = torch.empty_like(z)
        self.count = 0

    def advance(self, fz: Tensor, change: Tensor) -> Tensor:
        slot = self.count % self.options.memory
        self.count += 1
        _put(self.images, slot, fz)
        room = _put(self.changes, slot, change)
        n = len(self.changes)
        products = _products(self.changes, change, self.scratch)
        self.gram[:, :n, slot] = products
        self.gram[:, slot, :n] = products
        weights = torch.ones_like(products) if n == 1 else self._weights(n, slot)
        mixed = _combine(weights, self.images, out=room)
        if self.options.mixing < 1:
            mixed.sub_(_combine(weights, self.changes, out=self.scratch), alpha=1 - self.options.mixing)
        return mixed

    def _weights(self, n: int, slot: int) -> Tensor:
        gram = self.gram[:, :n, :n]
        scale = gram.diagonal(dim1=1, dim2=2).mean(dim=1)[:, None, None]
        system = gram / scale.clamp_min(torch.finfo(gram.dtype).tiny)
        least = 10 * torch.finfo(gram.dtype).eps  # less would be lost by rounding
        system = system + max(self.options.regularisation, least) * self.identity[:n, :n]
        ones = system.new_ones(len(system), n)
        weights, _ = torch.linalg.solve_ex(system, ones)
        weights = weights / weights.sum(dim=1, keepdim=True)
        plain = self.identity[slot, :n]  # a Picard step where the system is singular
        return torch.where(torch.isfinite(weights.sum(dim=1, keepdim=True)), weights, plain)

    def keep(self, rows: Tensor) -> None:
        self.images, self.changes = [one[rows] for one in self.images], [one[rows] for one in self.changes]
        self.gram, self.scratch = self.gram[rows], self.scratch[: len(rows)]


def _put(history: list[Tensor], slot: int, value: Tensor) -> Tensor:
    """Stores `value` at `slot` of a ring that grows until it is full; returns a tensor that may be overwritten."""
    if slot == len(history):
        history.append(value)
        return torch.empty_like(value)
    room, history[slot] = history[slot], value
    return room


def _products(vectors: Sequence[Tensor], other: Tensor, scratch: Tensor) -> Tensor:
    """Returns the (b, n) inner products of n `vectors` (b, d) with `other` (b, d)."""
    return torch.stack([torch.mul(vector, other, out=scratch).sum(dim=1) for vector in vectors], dim=1)


def _combine(weights: Tensor, vectors: Sequence[Tensor], *, out: Tensor) -> Tensor:
    """Writes the sum of n `vectors`, weighted by the columns of `weights` (b, n), to `out` (b, d) and returns it."""
    torch.mul(vectors[0], weights[:, :1], out=out)
    for number, vector in enumerate(vectors[1:], start=1):
        out.addcmul_(vector, weights[:, number, None])
    return out


@dataclass(frozen=True)
class Broyden(Solver):
    """Broyden's good method for f(z) - z = 0, with an inverse Jacobian of -I plus at most `memory` rank-one terms."""

    memory: int = 20

    def __post_init__(self) -> None:
        """Checks the memory."""
        if self.memory < 1:
            raise ValueError(f"memory must be at least 1, got {self.memory}; raise it")

    def start(self, z: Tensor) -> Memory:
        """Returns an inverse Jacobian of -I, with which the first step is that of Picard iteration."""
        return _BroydenMemory(self.memory, z)

    def macs(self, step: int, width: int) -> int:
        """Returns the cost of the products with the rank-one terms: two vectors for the update, one for the step."""
        before, after = min(max(step - 2, 0), self.memory), min(step - 1, self.memory)
        return 2 * width * (2 * before + after) + (width if step > 1 else 0)


class _BroydenMemory(Memory):
    def __init__(self, memory: int, z: Tensor) -> None:
        self.memory = memory
        self.left: list[Tensor] = []
        self.right: list[Tensor] = []
        self.count = 0
        self.step: Tensor | None = None
        self.change: Tensor | None = None
        self.scratch = torch.empty_like(z)

    def advance(self, fz: Tensor, change: Tensor) -> Tensor:
        if self.step is not None and self.change is not None:
            self._update(self.step, change - self.change)
        self.step, self.change = -self._times(change, self.right, self.left), change
        return fz - change + self.step

    def _update(self, step: Tensor, difference: Tensor) -> None:
        right = self._times(step, self.left, self.right)
        scale = torch.mul(right, difference, out=self.scratch).sum(dim=1, keepdim=True)
        left = (step - self._times(difference, self.right, self.left)) / torch.where(scale != 0, scale, 1.0)
        good = torch.isfinite(left.sum(dim=1, keepdim=True)) & (scale != 0)
        slot = self.count % self.memory
        _put(self.left, slot, torch.where(good, left, 0.0))
        _put(self.right, slot, torch.where(good, right, 0.0))
        self.count += 1

    def _times(self, values: Tensor, inner: Sequence[Tensor], outer: Sequence[Tensor]) -> Tensor:
        """Returns (sum_k outer_k inner_k^T - I) applied to `values` (b, d)."""
        if not inner:
            return -values
        weights = _products(inner, values, self.scratch)
        return _combine(weights, outer, out=torch.empty_like(values)).sub_(values)

    def keep(self, rows: Tensor) -> None:
        self.left, self.right = [one[rows] for one in self.left], [one[rows] for one in self.right]
        self.scratch = self.scratch[: len(rows)]
        if self.step is not None and self.change is not None:
            self.step, self.change = self.step[rows], self.change[rows]


def lu_macs(n: int) -> int:
    """Returns the multiply-accumulates of solving one system of n equations: n^3 / 3 + n^2."""
    return n**3 // 3 + n**2


def solver_macs(solver: Solver, *, width: int, max_steps: int) -> list[int]:
    """Returns the multiply-accumulates of the solver alone for k = 0 to `max_steps` evaluations, for one sample."""
    total = [0, 0]
    for step in range(1, max_steps):
        total.append(total[-1] + solver.macs(step, width))
    return total


@torch.no_grad()
def solve(function: Map, start: Tensor, *, solver: Solver, rule: StoppingRule, compact_from: float = 0.1) -> Solution:
    """Returns the fixed points of `function`; each sample stops on its own.

    Args:
        function: The map, in which samples must be independent.
        start: First iterates, (b, d).
        solver: Method that computes the next iterates.
        rule: Stopping rule.
        compact_from: Share of finished samples from which they are removed from the batch.
    """
    active = _Active.begin(start, rule)
    memory = solver.start(start)
    z, rows = start.clone(), None
    watch = _Watch()
    finished: list[_Active] = []
    for step in range(rule.max_steps):
        fz = watch.call(function, z, rows)
        change = torch.sub(fz, z, out=z)
        n_alive = active.judge(fz, change)
        if n_alive == 0 or step + 1 == rule.max_steps:
            break
        z = memory.advance(fz, change)
        if n_alive <= (1 - compact_from) * len(z):
            left = active.alive.nonzero()[:, 0]
            finished.append(active)
            active, z = active.keep(left), z[left]
            memory.keep(left)
            rows = active.numbers
    return _gather([*finished, active], start)


class _Watch:
    """Calls a map and checks that neither its argument nor its earlier results are overwritten."""

    def __init__(self) -> None:
        self.last: Tensor | None = None
        self.version = 0

    def call(self, function: Map, z: Tensor, rows: Tensor | None) -> Tensor:
        tracked = not z.is_inference()  # inference tensors have no version counter
        before = z._version if tracked else 0
        fz = function(z, rows)
        if tracked:
            if z._version != before:
                raise ValueError("the map writes over its argument; let it return a new tensor")
            if self.last is not None and self.last._version != self.version:
                raise ValueError("the map writes over what it returned before; let it return a new tensor")
            self.last = None if fz.is_inference() else fz
            self.version = fz._version if self.last is not None else 0
        return fz.clone() if fz.data_ptr() == z.data_ptr() else fz


@dataclass
class _Active:
    """Samples that are in the batch: unfinished ones, and finished ones that have not been removed yet."""

    rule: StoppingRule
    numbers: Tensor
    alive: Tensor
    z: Tensor
    residual: Tensor
    best: Tensor
    n_steps: Tensor
    status: Tensor
    since_best: Tensor
    first_change: Tensor
    largest: Tensor
    trace: list[tuple[Tensor, Tensor]]

    @classmethod
    def begin(cls, start: Tensor, rule: StoppingRule) -> "_Active":
        n_samples, device = len(start), start.device
        infinite = torch.full((n_samples,), float("inf"), dtype=norms(start[:0]).dtype, device=device)
        zero = torch.zeros(n_samples, dtype=torch.int64, device=device)
        return cls(
            rule=rule,
            numbers=torch.arange(n_samples, device=device),
            alive=torch.ones(n_samples, dtype=torch.bool, device=device),
            z=start.clone(),
            residual=infinite,
            best=infinite,
            n_steps=zero,
            status=torch.full_like(zero, int(Status.OUT_OF_STEPS)),
            since_best=zero,
            first_change=infinite,
            largest=infinite,
            trace=[],
        )

    def judge(self, fz: Tensor, change: Tensor) -> int:
        """Updates residuals and statuses from f(z) and f(z) - z, and returns the number of unfinished samples."""
        distance, size = norms(change), norms(fz)
        relative = distance / size.clamp_min(torch.finfo(size.dtype).tiny)
        if not self.trace:
            self.largest = (1 + size) * self.rule.bound
            halved = self.alive
        else:
            halved = distance <= self.first_change
        sound = (size <= self.largest) & (size < float("inf"))  # false for NaN
        good = self.alive & sound
        converged = good & (relative < self.rule.tolerance) & halved
        better = good & (relative < self.best)
        kept = better | converged
        if not self.trace:
            self.first_change = 0.5 * distance
        torch.where(kept[:, None], fz, self.z, out=self.z)
        self.residual = torch.where(kept, relative, self.residual)
        self.best = torch.where(better, relative, self.best)
        self.n_steps = self.n_steps + self.alive
        self.trace.append((self.numbers, torch.where(self.alive, relative, torch.nan)))
        ended = converged | (self.alive & ~sound)
        code = torch.where(sound, int(Status.CONVERGED), int(Status.DIVERGED))
        self.status = torch.where(ended, code, self.status)
        if self.rule.patience < self.rule.max_steps:
            self.since_best = torch.where(better, 0, self.since_best + 1)
            stalled = self.alive & ~ended & (self.since_best >= self.rule.patience)
            self.status = torch.where(stalled, int(Status.STALLED), self.status)
            ended = ended | stalled
        self.alive = self.alive & ~ended
        return int(self.alive.sum())

    def keep(self, left: Tensor) -> "_Active":
        """Returns the samples at the indices `left`."""
        tensors = {name: value[left] for name, value in vars(self).items() if isinstance(value, Tensor)}
        return _Active(rule=self.rule, trace=self.trace, **tensors)


def _gather(parts: Sequence[_Active], start: Tensor) -> Solution:
    """Returns the solution of the whole batch from its parts; the last part with a sample has its result."""
    first, *others = parts
    z, residual, n_steps, status = first.z, first.residual, first.n_steps, first.status
    if others:
        z, residual, n_steps, status = z.clone(), residual.clone(), n_steps.clone(), status.clone()
    for part in others:
        z[part.numbers], residual[part.numbers] = part.z, part.residual
        n_steps[part.numbers], status[part.numbers] = part.n_steps, part.status
    trace = residual.new_full((len(first.trace), len(start)), float("nan"))
    for step, (numbers, relative) in enumerate(first.trace):
        trace[step, numbers] = relative
    return Solution(z, n_steps, residual, status, trace)
